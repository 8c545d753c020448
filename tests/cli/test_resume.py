"""`mlcli train --resume`: output and exit codes, also on full and read-only disks."""

from __future__ import annotations

import json
import resource
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

from mlcli.runs.checkpoint import CheckpointFolder
from tests.fixtures.processes import start_mlcli, wait_for

LONG = ("train", "--backend", "sklearn", "--dataset", "digits", "--epochs", "100000", "--threads", "1")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_prints_the_command_that_resumes_it(number, code, tmp_path, cli):
    process = start_mlcli(*LONG, "--out", "run", "--checkpoint-every", "never", cwd=tmp_path)
    wait_for(tmp_path / "run" / "history.csv", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    last = errors.splitlines()[-1]
    assert last.startswith("       to resume after epoch ")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["status"] == "interrupted"
    n_before = len((tmp_path / "run" / "history.csv").read_text().splitlines()) - 1
    command = shlex.split(last.partition(": ")[2])
    assert command[:3] == ["mlcli", "train", "--resume"]
    again = start_mlcli(*command[1:], cwd=tmp_path)
    while not (line := again.stderr.readline()).startswith("epoch "):
        assert line
    assert line.startswith(f"epoch {n_before + 1}/")
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=30)
    assert again.returncode == 143


def test_sigusr1_and_sigusr2_write_a_checkpoint_and_the_run_goes_on(tmp_path):
    process = start_mlcli(*LONG, "--out", "run", "--checkpoint-every", "never", cwd=tmp_path)
    wait_for(tmp_path / "run" / "history.csv", process)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        process.send_signal(number)
        while not (line := process.stderr.readline()).startswith("checkpoint written after "):
            assert line, process.wait(timeout=30)
        steps = int(line.split()[3].replace(",", ""))
        assert CheckpointFolder(tmp_path / "run").find().checkpoint.position.step == steps
    process.kill()
    process.communicate(timeout=30)


def test_a_single_fit_ignores_sigusr1(tmp_path):
    forest = {"model": "estimator", "model.estimator": "RandomForestClassifier", "model.parameters.n_estimators": 1000}
    settings = [text for key, value in forest.items() for text in ("--set", f"{key}={value}")]
    process = start_mlcli("train", "--backend", "sklearn", *settings, "--verbose", cwd=tmp_path)
    while not (line := process.stderr.readline()).startswith("training estimator"):
        assert line, process.wait(timeout=30)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "checkpoint" not in errors


def test_a_finished_run_is_reported_and_not_trained_again(cli):
    first = cli(
        "train", "--backend", "sklearn", "--dataset", "iris", "--model", "logistic", "--out", "run", "-f", "json"
    )
    again = cli("train", "--resume", "run", "--format", "json", "--fail-under", "accuracy=0.9")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["run_id"] == json.loads(first.stdout)["run_id"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--epochs", "9"), "--epochs"),
        (("--set", "seed=3"), "--set"),
        (("--out", "elsewhere"), "--out"),
        (("config.yaml",), "config.yaml"),
        (("--dry-run",), "--dry-run"),
        (("--threads", "2"), "--threads"),
    ],
)
def test_options_that_would_change_the_run_are_refused_with_resume(arguments, named, cli):
    process = cli("train", "--resume", "run", *arguments)
    assert process.returncode == 2
    assert named in process.stderr
    assert "--resume cannot be combined with: " in process.stderr


def test_an_unknown_run_is_one_clear_message(cli):
    process = cli("train", "--resume", "nothing")
    assert process.returncode == 2
    assert "no run 'nothing'" in process.stderr


def test_a_wrong_interval_is_refused_with_the_possible_ones(cli):
    process = cli("train", "--checkpoint-every", "often")
    assert process.returncode == 2
    assert "500steps, 1epoch, 60s; or auto, or never" in process.stderr


WIDE = ("--set", "model.hidden=[1024]", "--checkpoint-every", "1epoch")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_size_limit_stops_the_run_with_path_and_size_and_keeps_what_was_written(tmp_path, cli):
    """The system enforces a file size limit that no checkpoint fits."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start_mlcli(*LONG, *WIDE, "--out", "run", setup=limited, cwd=tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "/checkpoint/" in errors
    assert "bytes are needed)" in errors
    assert "Traceback" not in errors
    assert not [name for name in files(tmp_path) if name.endswith(".part")]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["status"] == "failed"
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 2


def test_a_later_limit_keeps_the_existing_checkpoints(tmp_path):
    first = start_mlcli(*LONG, *WIDE, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint" / "newest", first)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    before = {name: data for name, data in files(tmp_path / "run").items() if name.endswith(".safetensors")}

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    second = start_mlcli("train", "--resume", "run", "--checkpoint-every", "1epoch", setup=limited, cwd=tmp_path)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "to resume after epoch" in errors
    assert {name: data for name, data in files(tmp_path / "run").items() if name.endswith(".safetensors")} == before


def _can_mount():
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="needs mount namespaces (unshare -rm) for a small disk")
def test_a_full_disk_stops_the_run_and_leaves_no_partial_files(tmp_path):
    """A disk of two megabytes, mounted for this process only; its content is copied before it is unmounted."""
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
    assert f"to resume {found.checkpoint.description}" in process.stderr


@pytest.mark.skipif(not _can_mount(), reason="needs mount namespaces (unshare -rm) for a read-only disk")
def test_a_run_on_a_read_only_disk_is_refused_with_its_path_and_left_unchanged(tmp_path):
    first = start_mlcli(*LONG, "--checkpoint-every", "1epoch", "--out", "run", cwd=tmp_path)
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
