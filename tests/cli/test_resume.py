"""`mlcli train --resume` as a shell sees it, and the disks that refuse."""

from __future__ import annotations

import json
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONG = ("train", "--backend", "sklearn", "--dataset", "digits", "--epochs", "100000", "--threads", "1")


def start(tmp_path, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "mlcli", *map(str, arguments)],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for(path: Path, process) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on_and_does(number, code, tmp_path, cli):
    process = start(tmp_path, *LONG, "--out", "run", "--checkpoint-every", "never")
    wait_for(tmp_path / "run" / "history.csv", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    last = errors.splitlines()[-1]
    assert last.startswith("       to go on after epoch ")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["status"] == "interrupted"
    n_before = len((tmp_path / "run" / "history.csv").read_text().splitlines()) - 1
    words = shlex.split(last.partition(": ")[2])
    assert words[:3] == ["mlcli", "train", "--resume"]
    again = start(tmp_path, *words[1:])
    while not (line := again.stderr.readline()).startswith("epoch "):
        assert line
    assert line.startswith(f"epoch {n_before + 1}/")
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=30)
    assert again.returncode == 143


def test_a_finished_run_is_reported_and_nothing_trained(cli):
    first = cli(
        "train", "--backend", "sklearn", "--dataset", "iris", "--model", "logistic", "--out", "run", "-f", "json"
    )
    again = cli("train", "--resume", "run", "--format", "json", "--fail-under", "accuracy=0.9")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["run_id"] == json.loads(first.stdout)["run_id"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--epochs", "9"), "training.epochs"),
        (("--set", "seed=3"), "--set"),
        (("--out", "elsewhere"), "--out"),
        (("config.yaml",), "config.yaml"),
        (("--dry-run",), "--dry-run"),
        (("--threads", "2"), "runtime.threads"),
    ],
)
def test_what_would_change_the_run_is_refused_beside_resume(arguments, named, cli):
    process = cli("train", "--resume", "run", *arguments)
    assert process.returncode == 2
    assert named in process.stderr
    assert "as it was configured" in process.stderr


def test_a_run_that_is_not_there_is_told(cli):
    process = cli("train", "--resume", "nothing")
    assert process.returncode == 2
    assert "no run 'nothing'" in process.stderr


def test_a_wrong_interval_is_told_with_what_there_is(cli):
    process = cli("train", "--checkpoint-every", "often")
    assert process.returncode == 2
    assert "500steps, 1epoch, 60s; or auto, or never" in process.stderr


WIDE = ("--set", "model.hidden=[1024]", "--checkpoint-every", "1epoch")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_size_limit_stops_the_run_with_path_and_size_and_what_is_there_stays(tmp_path, cli):
    """A quota as the system enforces it: the first checkpoint does not fit, and later neither."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start(tmp_path, *LONG, *WIDE, "--out", "run", preexec_fn=limited)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "/checkpoint/" in errors
    assert "bytes are needed)" in errors
    assert "Traceback" not in errors
    assert not [name for name in files(tmp_path) if name.endswith(".part")]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["status"] == "failed"
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 2


def test_a_limit_that_comes_later_leaves_the_checkpoints_that_are_there(tmp_path):
    first = start(tmp_path, *LONG, *WIDE, "--out", "run")
    wait_for(tmp_path / "run" / "checkpoint" / "newest", first)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    before = {name: data for name, data in files(tmp_path / "run").items() if name.endswith(".safetensors")}

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    second = start(tmp_path, "train", "--resume", "run", "--checkpoint-every", "1epoch", preexec_fn=limited)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "to go on after epoch" in errors
    assert {name: data for name, data in files(tmp_path / "run").items() if name.endswith(".safetensors")} == before


def _can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="needs a mount namespace of its own (unshare -rm) for a small disk")
def test_a_full_disk_stops_the_run_and_leaves_no_parts(tmp_path):
    """A disk of two megabytes, in a mount namespace of its own; what is left is listed there too."""
    disk = tmp_path / "disk"
    disk.mkdir()
    train = shlex.join([sys.executable, "-m", "mlcli", *LONG, *WIDE, "--out", str(disk / "run")])
    script = (
        f"mount -t tmpfs -o size=2m tmpfs {shlex.quote(str(disk))} && {{ {train}; code=$?; "
        f"cp -r {shlex.quote(str(disk))} {shlex.quote(str(tmp_path / 'left'))}; exit $code; }}"
    )
    process = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 1, process.stderr
    assert "No space left on device" in process.stderr
    assert "bytes are needed)" in process.stderr
    left = files(tmp_path / "left")
    assert not [name for name in left if name.endswith(".part")]
    from mlcli.runs.checkpoint import CheckpointFolder

    found = CheckpointFolder(tmp_path / "left" / "run").find()
    assert found.issues == ()
    assert found.checkpoint is not None
    assert f"to go on {found.checkpoint.description}" in process.stderr


@pytest.mark.skipif(not _can_mount(), reason="needs a mount namespace of its own (unshare -rm) for a read-only disk")
def test_a_run_on_a_disk_that_became_read_only_is_told_with_its_path_and_left_as_it_is(tmp_path):
    first = start(tmp_path, *LONG, "--checkpoint-every", "1epoch", "--out", "run")
    wait_for(tmp_path / "run" / "checkpoint" / "newest", first)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    before = files(tmp_path / "run")
    run = shlex.quote(str(tmp_path / "run"))
    train = shlex.join([sys.executable, "-m", "mlcli", "train", "--resume", str(tmp_path / "run")])
    script = f"mount --bind {run} {run} && mount -o remount,bind,ro {run} && exec {train}"
    process = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 1, process.stderr
    assert f"{tmp_path / 'run'}" in process.stderr
    assert "Read-only file system" in process.stderr
    assert files(tmp_path / "run") == before
