"""Create real runs with `mlcli train` for the fuzzer to damage: finished runs and a killed one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_COMMAND = (sys.executable, "-m", "mlcli", "train", "--backend", "sklearn", "--dataset", "iris", "--quiet")
_MLP = ("--model", "mlp", "--set", "model.hidden=[4]", "--set", "dataset.validation=0.2")
_TREE = "model={name: estimator, estimator: DecisionTreeClassifier, parameters: {max_depth: 1}}"
_FINISHED = {"logistic": ("--model", "logistic"), "mlp": (*_MLP, "--epochs", "3"), "tree": ("--set", _TREE)}
KILLED = "killed"
NAMES = (*_FINISHED, KILLED)
_LONGEST_SECONDS = 120


def make_run(name: str, out: Path) -> dict[str, bytes]:
    """Train a run, and return the content of its files by their relative path. The paths are the same each time."""
    if name == KILLED:
        _train_and_kill(out)
    else:
        subprocess.run([*_COMMAND, *_FINISHED[name], "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    files = sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def _train_and_kill(out: Path) -> None:
    """Start a training, and kill it as soon as it has a checkpoint (a finished run has none)."""
    options = (*_MLP, "--epochs", "100000", "--checkpoint-every", "1epoch", "--out", str(out))
    process = subprocess.Popen([*_COMMAND, *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not list(out.glob("checkpoint/*.safetensors")):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError("the run wrote no checkpoint before it ended or timed out")
        time.sleep(0.01)
    process.kill()
    process.wait()
    # Keep only the newest checkpoint, so that readers cannot fall back to an intact older one.
    *older, newest = sorted(out.glob("checkpoint/*.safetensors"))
    for path in older:
        path.unlink()
    (out / "checkpoint" / "newest").write_text(newest.name)
