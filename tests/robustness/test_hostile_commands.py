"""Commands refuse hostile runs and samples with one to three lines, and execute no code from them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
import skops.io

GOOD = "20260101T000000Z_iris"
FOREST = "20260101T000000Z_forest"
TERMINAL = "\x1b]0;owned\x07\x9b31m\r\x7f"
ADDRESS_BYTES = 16 * 2**30  # less than each decompression bomb requires
RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
    peak_bytes: int


@pytest.fixture
def mlcli(tmp_path):
    """Run `mlcli ARGS` with a limit on its memory, and return its outcome with its peak memory."""

    def run(*arguments):
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlcli", *map(str, arguments)],
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES)),
            )
            too_late = threading.Timer(120, process.kill)
            too_late.start()
            _, status, usage = os.wait4(process.pid, 0)
            too_late.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        texts = [(tmp_path / name).read_bytes().decode() for name in ("out", "err")]
        return Outcome(process.returncode, *texts, usage.ru_maxrss * 1024)

    return run


@pytest.fixture
def runs(stored_runs, tmp_path):
    """A runs directory with an intact run, a forest, and a run that tests modify."""
    for name, source in ((GOOD, GOOD), ("forest", FOREST), ("tampered", GOOD)):
        shutil.copytree(stored_runs / source, tmp_path / "runs" / name)
    return tmp_path / "runs"


class Harm:
    """An object that creates a folder in the working directory when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


def put(run, name, data):
    """Replace a file, and update its checksum in the manifest."""
    (run / name).write_bytes(data)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))


def change(path, **values):
    """Change a JSON file, and update its checksum in the manifest."""
    put(path.parent, path.name, json.dumps(json.loads(path.read_text()) | values).encode())


def assert_only_shown(text):
    assert [character for character in text if not character.isprintable() and character != "\n"] == []


def assert_refused(outcome, tmp_path, *, code, words):
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert outcome.out == ""
    lines = [line for line in outcome.err.splitlines() if not line.startswith("note:")]
    assert 1 <= len(lines) <= 3, outcome.err
    assert "Traceback" not in outcome.err
    assert_only_shown(outcome.err)
    assert outcome.peak_bytes < RESIDENT_BYTES
    assert not (tmp_path / "canary").exists()


def large_predictions(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("y", "labels"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member, {"descr": "<i8", "fortran_order": False, "shape": (2**24,)}
                )
                for _ in range(128):
                    member.write(bytes(2**20))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "name", "data", "words"),
    [
        (("evaluate", "tampered"), "weights.safetensors", pickle.dumps(Harm()), "not a safetensors file"),
        (("receipt", "tampered", GOOD), "environment.json", b'{"a": ' + b"[" * 10**5, "more than 50,000 values"),
        (("evaluate", "tampered"), "config.yaml", b"extends: ../../secret\n", "extends: unknown key"),
        (("batch-bench", "tampered", "--sizes", "1"), "weights.safetensors", pickle.dumps(Harm()), "safetensors"),
    ],
)  # fmt: skip
def test_a_hostile_file_with_a_matching_checksum(mlcli, runs, tmp_path, arguments, name, data, words):
    put(runs / "tampered", name, data)
    assert_refused(mlcli(*arguments), tmp_path, code=3, words=words)
    assert sorted(os.listdir(runs)) == [GOOD, "forest", "tampered"]


def test_compressed_predictions_are_not_unpacked(mlcli, runs, tmp_path):
    put(runs / "tampered", "predictions.npz", large_predictions(tmp_path / "bomb.npz"))
    outcome = mlcli("compare", GOOD, "tampered")
    assert_refused(outcome, tmp_path, code=3, words="is compressed, but a run stores it uncompressed")


def test_an_estimator_of_foreign_types(mlcli, runs, tmp_path):
    put(runs / "forest", "estimator.skops", skops.io.dumps(os.system))
    outcome = mlcli("evaluate", "forest")
    assert_refused(outcome, tmp_path, code=3, words="types that are not trusted: posix.system")


def test_a_pipe_does_not_block(mlcli, runs, tmp_path):
    (runs / "tampered" / "history.csv").unlink()
    os.mkfifo(runs / "tampered" / "history.csv")
    assert_refused(mlcli("runs", "show", "tampered"), tmp_path, code=3, words="not a regular file")


def test_a_list_shows_the_other_runs_and_names_the_broken_one(mlcli, runs, tmp_path):
    (runs / "forest" / "metrics.json").write_bytes(pickle.dumps(Harm()))
    change(runs / "tampered" / "metrics.json", name=TERMINAL, notes=[TERMINAL], error=TERMINAL, status="failed")
    (runs / "tampered").rename(runs / f"tampered{TERMINAL}")
    listed = mlcli("runs", "list")
    assert listed.code == 0
    assert "failed" in listed.out
    assert "finished" in listed.out
    assert "not listed" in listed.err
    shown = mlcli("runs", "show", "tampered", "--format", "csv")
    assert shown.code == 0
    for outcome in (listed, shown):
        assert "owned" in outcome.out
        assert_only_shown(outcome.out + outcome.err)
    assert not (tmp_path / "canary").exists()


def test_an_error_of_a_run_is_quoted_as_text(mlcli, runs, tmp_path):
    change(runs / "tampered" / "metrics.json", status="failed", error=f"{TERMINAL}\n" * 100)
    outcome = mlcli("evaluate", "tampered")
    assert_refused(outcome, tmp_path, code=2, words="is failed: ")
    assert "owned" in outcome.err
