"""Runs from strangers: whatever their files are, and whatever their manifest says of them, nothing is executed.

Every case is tried with the original manifest, and with a new one that lists the checksums of the changed files.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from dataclasses import replace

import pytest

from mlcli.runs import RunQuery
from mlcli.runs.find import find_run, list_runs

GOOD = "20260101T000000Z_iris"
LISTED = (
    "config.yaml", "environment.json", "preprocessing.json", "history.csv", "predictions.npz", "weights.safetensors",
    "log.txt",
)  # fmt: skip
UNLISTED = ("metrics.json", "manifest.json")  # which no manifest can vouch for
# An artifact, and whether a manifest that was made again vouches for it.
ARTIFACTS = [*((name, False) for name in (*LISTED, *UNLISTED)), *((name, True) for name in LISTED)]


USES = ("list", "show", "evaluate", "predict", "convert", "compare", "receipt", "train", "bench")
OPENING = USES[2:]  # which need a finished run with the files that its manifest lists


class Harm:
    """Unpickled, it leaves a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


BY_ARTIFACT = {
    "config.yaml": OPENING,
    "metrics.json": USES,
    "manifest.json": OPENING,
    "environment.json": ("receipt",),
    "preprocessing.json": ("evaluate", "predict", "convert", "receipt", "train", "bench"),
    "history.csv": ("compare",),
    "predictions.npz": ("compare",),
    "weights.safetensors": ("evaluate", "predict", "convert", "train", "bench"),
    "log.txt": (),  # which nothing reads
}


def test_every_use_works_on_an_intact_run(victim):
    assert not any(victim.refuses(use) for use in USES)
    victim.remake_manifest()
    assert not any(victim.refuses(use) for use in USES)


@pytest.mark.parametrize("protocol", [0, 4])
@pytest.mark.parametrize(("name", "vouched"), ARTIFACTS)
def test_a_pickle_in_place_of_any_file(victim, name, protocol, vouched):
    (victim.path / name).write_bytes(pickle.dumps(Harm(victim.canary), protocol))
    expected = BY_ARTIFACT[name] if vouched else OPENING
    victim.tried(vouched=vouched, refusing=expected)


def test_the_pickle_would_do_harm_if_it_were_loaded(tmp_path):
    pickle.loads(pickle.dumps(Harm(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


def link(target):
    def make(path, outside):
        leads_to = target(path, outside)
        path.unlink(missing_ok=True)
        path.symlink_to(leads_to)

    return make


def pipe(path, outside):
    path.unlink()
    os.mkfifo(path)


def folder(path, outside):
    path.unlink()
    path.mkdir()


def moved(path, outside):
    """A link to the very file, which lies outside."""
    shutil.move(path, outside / path.name)
    return outside / path.name


def in_a_circle(path, outside):
    other = path.with_name("other")
    other.symlink_to(path.name)
    return other.name


SPECIAL = {
    "a link to the right file outside": link(moved),
    "a link to another file outside": link(lambda path, outside: outside / "secret"),
    "a link with dots": link(lambda path, outside: "../../outside/secret"),
    "a link to nothing outside": link(lambda path, outside: outside / "nothing"),
    "links in a circle": link(in_a_circle),
    "a link to itself": link(lambda path, outside: path.name),
    "a link to a device": link(lambda path, outside: "/dev/zero"),
    "a pipe": pipe,
    "a folder": folder,
}


@pytest.mark.parametrize("name", [*LISTED, *UNLISTED])
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_link_a_pipe_or_a_folder_in_place_of_any_file(victim, name, kind, capsys):
    SPECIAL[kind](victim.path / name, victim.outside)
    # Without a record it is a run that did not finish, which a comparison shows as such.
    victim.tried(vouched=False, refusing=set(OPENING) - ({"compare"} if name == "metrics.json" else set()))
    assert "SECRET" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("kind", ["a link to the right file outside", "a pipe", "a folder"])
def test_a_link_a_pipe_or_a_folder_with_a_new_manifest(victim, name, kind):
    """It vouches for what a link leads to. What is no file is not in it; those refuse it that would read it."""
    SPECIAL[kind](victim.path / name, victim.outside)
    victim.tried(refusing=OPENING if "link" in kind else BY_ARTIFACT[name])


@pytest.mark.parametrize("target", ["../../../outside/secret", "../../../outside", "/dev/zero", "../../../nothing"])
def test_a_link_that_no_manifest_lists(victim, target):
    (victim.path / "checkpoint").mkdir()
    (victim.path / "checkpoint" / "link").symlink_to(target)
    victim.tried(refusing=OPENING)


@pytest.mark.parametrize("name", ["../outside/secret", "/etc/passwd", "checkpoint/../../outside/secret", "a\0b", ""])
def test_a_manifest_that_lists_files_outside_of_the_run(victim, name):
    victim.edit("manifest.json", lambda manifest: manifest["files"].update({name: "0" * 64}))
    victim.tried(vouched=False, refusing=OPENING)


def test_deeply_nested_folders(victim, monkeypatch):
    monkeypatch.chdir(victim.path)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    try:
        monkeypatch.chdir(victim.scratch)
        assert not victim.refuses("receipt")
    finally:
        subprocess.run(["rm", "-rf", str(victim.path / "d")], check=True)  # Python's own cannot go so deep


FORMATS = ("table", "csv", "markdown", "json")
TERMINAL = "\x1b]0;owned\x07\x9b31m\x08\r\u202e\x7f"


def obeyed(text):
    return [character for character in text if not character.isprintable() and character != "\n"]


def renamed(victim, name):
    """The run in a directory of another name, given in bytes."""
    runs = os.fsencode(victim.path.parent)
    os.rename(victim.path, os.path.join(runs, name))
    return replace(victim, path=victim.path.with_name(os.fsdecode(name)))


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_no_control_character_of_a_run_reaches_the_terminal(victim, status, capsys):
    texts = {"notes": [TERMINAL, f"two\nlines {TERMINAL}"], "error": TERMINAL, "status": status}
    texts |= dict.fromkeys(("name", "device", "created"), TERMINAL)
    victim.edit("metrics.json", lambda document: document.update(texts))
    victim.edit("environment.json", lambda document: document.update(processor=TERMINAL, packages={TERMINAL: TERMINAL}))
    victim.edit("preprocessing.json", lambda document: document.update(class_names=[TERMINAL, "b", "c"]))
    victim.remake_manifest()
    victim = replace(renamed(victim, f"victim{TERMINAL}".encode()), formats=FORMATS)
    for use in ("list", "show", "compare", "receipt", "evaluate", "predict"):
        assert victim.refuses(use) == (status == "failed" and use in ("receipt", "evaluate", "predict"))
    text = "".join(capsys.readouterr())
    assert "owned" in text
    assert obeyed(text) == []


def test_a_run_whose_name_does_not_decode_can_be_listed(victim, capsys):
    victim = replace(renamed(victim, b"victim\xff\xfe"), formats=FORMATS)
    assert not any(victim.refuses(use) for use in ("list", "show", "compare"))
    assert "victim" in capsys.readouterr().out


def test_the_victim_does_not_hide_the_other_runs(victim):
    for name in ("metrics.json", "config.yaml", "manifest.json"):
        (victim.path / name).write_text("{" * 100_000)
    found = list_runs(victim.path.parent, RunQuery())
    assert [run.directory.name for run in found.runs] == [GOOD]
    assert len(found.issues) == 1
    assert find_run("last", victim.path.parent).run_id == GOOD
