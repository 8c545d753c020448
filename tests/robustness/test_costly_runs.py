"""Run directories that are cheap to make and costly to read: every command reads or refuses them in little memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mlcli.cli.app import main
from mlcli.runs.directory import RunDirectory
from mlcli.untrusted import MAX_BYTES

MAX_MEBIBYTES = 200
GOOD, BAD = "20260101T000000Z_good", "20260102T000000Z_bad"
HEADER = (
    "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,samples_per_second,"
    "is_best\n"
)
LARGE = 7 * 2**20
FITTING = MAX_BYTES[".json"] - 10_000
MANY = 40_000


def record(**changes):
    def change(path):
        document = json.loads((path / "metrics.json").read_text())
        (path / "metrics.json").write_text(json.dumps(document | changes, ensure_ascii=False))

    return change


def text(name, content):
    return lambda path: (path / name).write_text(content)


def sparse(name):
    return lambda path: os.truncate(path / name, 4 * 2**30)


NESTED = "[" + ",".join(["[]"] * (LARGE // 3)) + "]"
# Each with the commands that must refuse it, the others work.
OPENING = {"compare", "evaluate", "predict", "receipt"}
COSTLY = {
    "a record of 7 MB": (text("metrics.json", f'{{"notes": {NESTED}}}'), {"show", *OPENING}),
    "a record of many small values": (record(notes=[[]] * MANY), {"show", *OPENING}),
    "a record of many more": (record(notes=["n"] * (FITTING // 6)), {"show", *OPENING}),
    "many notes": (record(notes=[f"note {i} {i}" for i in range(MANY)]), set()),
    "a long note": (record(notes=["word " * (FITTING // 5)]), {"show", *OPENING}),
    "a long note of invisible characters": (record(notes=["\u200b" * (FITTING // 4)]), {"show", *OPENING}),
    "a long reason": (record(status="failed", error="word " * (FITTING // 5)), OPENING - {"compare"}),
    "an environment of 7 MB": (text("environment.json", NESTED), {"show", "compare", "receipt"}),
    "a manifest of 7 MB": (text("manifest.json", f'{{"files": {NESTED}}}'), {"show", *OPENING}),
    "a history of 60 MB": (text("history.csv", HEADER + "1,,,,,,1,1,True\n" * (60 * 2**16)), {"show", "compare"}),
    "a history of too many epochs": (text("history.csv", HEADER + "1,,,,,,1,1,True\n" * 100_001), {"show", "compare"}),
    "a history of one long row": (text("history.csv", HEADER + "," * (20 * 2**20) + "\n"), {"show", "compare"}),
    "a history of one long text": (text("history.csv", f'{HEADER}"{"xyz" * 2**22}'), {"show", "compare"}),
    "weights of 4 GB that are not there": (sparse("weights.safetensors"), {"show", *OPENING}),
    "predictions of 4 GB that are not there": (sparse("predictions.npz"), {"show", *OPENING}),
}
COMMANDS = {
    "list": ["runs", "list"], "show": ["runs", "show", BAD], "compare": ["compare", GOOD, BAD],
    "evaluate": ["evaluate", BAD], "predict": ["predict", BAD, "--input", "x.npy", "--output", "y.csv"],
    "receipt": ["receipt", GOOD, BAD],
}  # fmt: skip
# Runs one command after the other, in one process because the imports take longer than the rest.
PROGRAM = """
import json, sys
from mlcli.cli.app import main
codes = []
for arguments in json.loads(sys.stdin.read()):
    sys.argv = ["mlcli", *arguments]
    try:
        main()
    except SystemExit as error:
        codes.append(int(error.code))
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
    codes.append(peak)
with open("codes.json", "w") as file:
    json.dump(codes, file)
"""


def remake_manifest(path):
    names = [name for name in os.listdir(path) if name not in ("manifest.json", "metrics.json")]
    digests = {}
    for name in names:
        is_large = (path / name).stat().st_size > 2**30
        digests[name] = "0" * 64 if is_large else hashlib.sha256((path / name).read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc for the peak memory of a process")
@pytest.mark.parametrize("name", COSTLY)
def test_no_command_needs_much_memory(stored_runs, tmp_path, name):
    """Memory limits the time too: all that is read is limited before it is parsed."""
    change, refusing = COSTLY[name]
    for run in (GOOD, BAD):
        shutil.copytree(stored_runs / "20260101T000000Z_iris", tmp_path / "runs" / run)
    change(tmp_path / "runs" / BAD)
    if "manifest" not in name:
        remake_manifest(tmp_path / "runs" / BAD)
    np.save(tmp_path / "x.npy", np.zeros((2, 4), np.float32))
    commands = {use: command for use, command in COMMANDS.items() if use in {"list", "show", "compare", *refusing}}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False,
        input=json.dumps(list(commands.values())),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "codes.json").read_text())
    codes, peaks = dict(zip(commands, results[::2], strict=True)), dict(zip(commands, results[1::2], strict=True))
    assert {use for use, code in codes.items() if code in (2, 3)} == refusing, process.stderr
    assert max(peaks.values()) < MAX_MEBIBYTES, peaks


def test_the_longest_history_is_read_and_shown_at_both_ends(stored_runs, tmp_path, capsys, monkeypatch):
    shutil.copytree(stored_runs / "20260101T000000Z_iris", tmp_path / BAD)
    rows = [f"{epoch},0.001,{1 / epoch},0.98765,1.23456789,0.98765,1.2345,1.5,False\n" for epoch in range(1, 100_001)]
    (tmp_path / BAD / "history.csv").write_text(HEADER + "".join(rows))
    remake_manifest(tmp_path / BAD)
    assert len(RunDirectory(tmp_path / BAD).read_history()) == 100_000
    monkeypatch.setattr(sys, "argv", ["mlcli", "runs", "show", BAD, "--runs-dir", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    output = capsys.readouterr().out
    assert "the first and the last 50 of 100,000 epochs" in output
    shown = [line.split()[1] for line in output.partition("History")[2].splitlines() if line.startswith("│ ")]
    assert shown[1:] == [str(epoch) for epoch in (*range(1, 51), *range(99_951, 100_001))]
