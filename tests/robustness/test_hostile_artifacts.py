"""Runs from untrusted sources never execute code, whatever their files contain and their manifest lists.

Every case is tested with the original manifest, and with a new one that has the checksums of the changed files.
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
LAST = ("metrics.json", "manifest.json")  # a run without one of them has not ended
# Each file of a run, with the original manifest (False) and with a matching new manifest (True).
ARTIFACTS = [*((name, False) for name in (*LISTED, *LAST)), *((name, True) for name in (*LISTED, "metrics.json"))]


USES = ("list", "show", "evaluate", "predict", "convert", "compare", "receipt", "train", "bench")
OPENING = USES[2:]  # these need a finished run with all files that its manifest lists


class Harm:
    """An object that creates a folder when it is unpickled."""

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
    "log.txt": (),  # never read
}


def test_every_use_works_on_an_intact_run(tampered_run):
    assert not any(tampered_run.refuses(use) for use in USES)
    tampered_run.remake_manifest()
    assert not any(tampered_run.refuses(use) for use in USES)


@pytest.mark.parametrize("protocol", [0, 4])
@pytest.mark.parametrize(("name", "new_manifest"), ARTIFACTS)
def test_a_pickle_in_place_of_any_file(tampered_run, name, protocol, new_manifest):
    (tampered_run.path / name).write_bytes(pickle.dumps(Harm(tampered_run.canary), protocol))
    expected = BY_ARTIFACT[name] if new_manifest else OPENING
    tampered_run.check_every_use(new_manifest=new_manifest, refusing=expected)


def test_loading_the_pickle_executes_code(tmp_path):
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
    """Move a file outside of the run, and return its new path as the target of a link."""
    shutil.move(path, outside / path.name)
    return outside / path.name


def in_a_circle(path, outside):
    """Create a second link to this path, and return its name as the target of a link."""
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


@pytest.mark.parametrize("name", [*LISTED, *LAST])
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_link_a_pipe_or_a_folder_in_place_of_any_file(tampered_run, name, kind, capsys):
    SPECIAL[kind](tampered_run.path / name, tampered_run.outside)
    # A run without a record is unfinished, and a comparison shows it as such.
    tampered_run.check_every_use(
        new_manifest=False, refusing=set(OPENING) - ({"compare"} if name == "metrics.json" else set())
    )
    assert "SECRET" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("kind", ["a link to the right file outside", "a pipe", "a folder"])
def test_a_link_a_pipe_or_a_folder_with_a_new_manifest(tampered_run, name, kind):
    """The manifest has the checksum of the target of a link. Pipes and folders are not listed; their readers refuse."""
    SPECIAL[kind](tampered_run.path / name, tampered_run.outside)
    tampered_run.check_every_use(refusing=OPENING if "link" in kind else BY_ARTIFACT[name])


@pytest.mark.parametrize("target", ["../../../outside/secret", "../../../outside", "/dev/zero", "../../../nothing"])
def test_a_link_that_no_manifest_lists(tampered_run, target):
    (tampered_run.path / "checkpoint").mkdir()
    (tampered_run.path / "checkpoint" / "link").symlink_to(target)
    tampered_run.check_every_use(refusing=OPENING)


@pytest.mark.parametrize("name", ["../outside/secret", "/etc/passwd", "checkpoint/../../outside/secret", "a\0b", ""])
def test_a_manifest_that_lists_files_outside_of_the_run(tampered_run, name):
    tampered_run.edit("manifest.json", lambda manifest: manifest["files"].update({name: "0" * 64}))
    tampered_run.check_every_use(new_manifest=False, refusing=OPENING)


def test_deeply_nested_folders(tampered_run, monkeypatch):
    monkeypatch.chdir(tampered_run.path)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    try:
        monkeypatch.chdir(tampered_run.scratch)
        assert not tampered_run.refuses("receipt")
    finally:
        # shutil.rmtree cannot delete folders nested this deeply.
        subprocess.run(["rm", "-rf", str(tampered_run.path / "d")], check=True)


FORMATS = ("table", "csv", "markdown", "json")
TERMINAL = "\x1b]0;owned\x07\x9b31m\x08\r\u202e\x7f"


def obeyed(text):
    return [character for character in text if not character.isprintable() and character != "\n"]


def renamed(tampered_run, name):
    """Rename the directory of the run to a name given in bytes, and return the run."""
    runs = os.fsencode(tampered_run.path.parent)
    os.rename(tampered_run.path, os.path.join(runs, name))
    return replace(tampered_run, path=tampered_run.path.with_name(os.fsdecode(name)))


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_no_control_character_of_a_run_reaches_the_terminal(tampered_run, status, capsys):
    texts = {"notes": [TERMINAL, f"two\nlines {TERMINAL}"], "error": TERMINAL, "status": status}
    texts |= dict.fromkeys(("name", "device", "created"), TERMINAL)
    tampered_run.edit("metrics.json", lambda document: document.update(texts))
    tampered_run.edit(
        "environment.json", lambda document: document.update(processor=TERMINAL, packages={TERMINAL: TERMINAL})
    )
    tampered_run.edit("preprocessing.json", lambda document: document.update(class_names=[TERMINAL, "b", "c"]))
    tampered_run.remake_manifest()
    tampered_run = replace(renamed(tampered_run, f"tampered{TERMINAL}".encode()), formats=FORMATS)
    for use in ("list", "show", "compare", "receipt", "evaluate", "predict"):
        assert tampered_run.refuses(use) == (status == "failed" and use in ("receipt", "evaluate", "predict"))
    text = "".join(capsys.readouterr())
    assert "owned" in text
    assert obeyed(text) == []


def test_a_run_whose_name_does_not_decode_can_be_listed(tampered_run, capsys):
    tampered_run = replace(renamed(tampered_run, b"tampered\xff\xfe"), formats=FORMATS)
    assert not any(tampered_run.refuses(use) for use in ("list", "show", "compare"))
    assert "tampered" in capsys.readouterr().out


def test_a_damaged_run_does_not_hide_the_other_runs(tampered_run):
    for name in ("metrics.json", "config.yaml", "manifest.json"):
        (tampered_run.path / name).write_text("{" * 100_000)
    found = list_runs(tampered_run.path.parent, RunQuery())
    assert [run.directory.name for run in found.runs] == [GOOD]
    assert len(found.issues) == 1
    assert find_run("last", tampered_run.path.parent).run_id == GOOD
