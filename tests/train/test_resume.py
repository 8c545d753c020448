"""An interrupted run is resumed bit-identically, or refused with the reason."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlcli import signals
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, DivergedError, MlcliError, UsageError
from mlcli.experiment.plan import make_plan
from mlcli.runs.checkpoint import CheckpointFolder
from mlcli.runs.directory import RunDirectory
from mlcli.train import resume as resume_module
from mlcli.train import trainer as train_module
from mlcli.train.checkpointing import CheckpointEvery, ChunkLength
from mlcli.train.report import QuietProgress
from mlcli.train.resume import open_resumable
from mlcli.train.trainer import RunPaths, resume, train

N_EPOCHS = 6
SHORT = {"epochs": 3, "batch_size": 50, "early_stopping": {"patience": 3}}  # 69 steps
EVERY_STEP, EVERY_EPOCH = CheckpointEvery("steps", 1), CheckpointEvery("epochs", 1)


class Stopped(BaseException):
    """An exception that interrupts training as a signal does."""


class Observer(QuietProgress):
    """An observer that keeps epochs and notes, and stops the run at the end of an epoch."""

    def __init__(self, stop_at=None):
        super().__init__(show_notes=False)
        self.stop_at, self.notes, self.epochs, self.messages = stop_at, [], [], []

    def on_epoch(self, record, n_epochs):
        self.epochs.append(record.epoch)
        if record.epoch == self.stop_at:
            raise Stopped

    def on_note(self, text):
        self.notes.append(text)

    def on_slow_step(self, text):
        self.messages.append(text)


def plan_for(backend, **changes):
    settings = {
        "backend": backend,
        "dataset": {"name": "digits", "validation": 0.2},
        "model": {"name": "mlp", "hidden": (24,), "dropout": 0.0 if backend == "sklearn" else 0.2},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "schedule": {"name": "cosine"},
        "training": {"epochs": N_EPOCHS, "batch_size": 50, "early_stopping": {"patience": 3}},
    }
    return make_plan(ExperimentConfig.model_validate(settings | changes))


def start(plan, path, *, every=EVERY_EPOCH, stop_at=None):
    return train(plan, RunPaths(path.parent, path), 1, Observer(stop_at), every=every)


def resume_run(path, *, every=EVERY_EPOCH, observer=None):
    found = open_resumable(str(path), path.parent)
    paths = RunPaths(path.parent)
    return resume(
        found.directory, make_plan(found.config), paths, found.threads or 1, observer or Observer(), every=every
    )


@pytest.fixture
def stopped(tmp_path):
    """A torch run that was stopped at the end of the third epoch, before its checkpoint."""
    with pytest.raises(Stopped):
        start(plan_for("torch"), tmp_path / "run", stop_at=3)
    return tmp_path / "run"


@pytest.fixture
def checkpoint_signals():
    """SIGUSR1 and SIGUSR2 are handled as by the program."""
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    previous = [signal.signal(number, signals._signals.on_checkpoint_request) for number in numbers]
    yield
    for number, handler in zip(numbers, previous, strict=True):
        signal.signal(number, handler)


def test_a_run_with_class_weights_resumes_bit_identical(tmp_path):
    training = {"epochs": 3, "batch_size": 50, "class_weight": "balanced"}
    plan = plan_for("torch", training=training)
    observer = Observer()
    uninterrupted = train(plan, RunPaths(tmp_path, tmp_path / "uninterrupted"), 1, observer, every=EVERY_EPOCH)
    with pytest.raises(Stopped):
        start(plan, tmp_path / "run", stop_at=2)
    assert_same_run(resume_run(tmp_path / "run").directory, uninterrupted.directory)
    (note,) = [note for note in observer.notes if "weighs classes" in note]
    assert note in uninterrupted.record.notes
    unweighted = start(plan_for("torch", training={**training, "class_weight": None}), tmp_path / "unweighted")
    assert unweighted.record.digests["initial_weights"] == uninterrupted.record.digests["initial_weights"]
    assert unweighted.record.digests["weights"] != uninterrupted.record.digests["weights"]


def without_times(history):
    return [dataclasses.replace(record, seconds=0.0, samples_per_second=0.0) for record in history]


def assert_same_run(left, right):
    for name, array in load_file(right / "weights.safetensors").items():
        np.testing.assert_array_equal(load_file(left / "weights.safetensors")[name], array)
    assert (left / "predictions.npz").read_bytes() == (right / "predictions.npz").read_bytes()
    records = [RunDirectory(path).read_record() for path in (left, right)]
    for name in ("metrics", "digests", "epochs", "best_epoch", "status"):
        assert getattr(records[0], name) == getattr(records[1], name), name
    histories = [without_times(RunDirectory(path).read_history()) for path in (left, right)]
    assert histories[0] == histories[1]


OPTIMIZERS = {
    "torch": [{"name": "sgd", "lr": 0.05, "momentum": 0.9}, {"name": "adam"}, {"name": "adamw"}, {"name": "rmsprop"}],
    "keras": [{"name": "sgd", "lr": 0.05, "momentum": 0.9}, {"name": "adam"}, {"name": "adamw"}, {"name": "rmsprop"}],
    "sklearn": [{"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}, {"name": "adam"}],
}
CASES = [(backend, optimizer) for backend, optimizers in OPTIMIZERS.items() for optimizer in optimizers]


@pytest.mark.parametrize(
    ("backend", "optimizer"), CASES, ids=lambda value: value if isinstance(value, str) else value["name"]
)
def test_a_run_resumed_between_epochs_is_bit_identical(backend, optimizer, tmp_path):
    plan = plan_for(backend, optimizer=optimizer)
    uninterrupted = start(plan, tmp_path / "uninterrupted")
    with pytest.raises(Stopped):
        start(plan, tmp_path / "run", stop_at=3)
    again = Observer(stop_at=5)
    with pytest.raises(Stopped):
        resume_run(tmp_path / "run", observer=again)
    assert again.epochs[0] == 3
    last = Observer()
    result = resume_run(tmp_path / "run", observer=last)
    assert last.epochs[0] == 5
    assert_same_run(result.directory, uninterrupted.directory)


@pytest.mark.parametrize("backend", ["torch", "keras", "sklearn"])
def test_signals_that_ask_for_checkpoints_write_them_and_change_nothing_else(
    backend, tmp_path, monkeypatch, checkpoint_signals
):
    """SIGUSR1 arrives in step 7 and SIGUSR2 in step 31; an epoch has 23 steps. A run resumed from there is the same."""
    requests = {7: signal.SIGUSR1, 31: signal.SIGUSR2}
    plan, n_steps, copies = plan_for(backend, training=SHORT), 0, []

    def send(self, *measured):
        nonlocal n_steps
        n_steps += 1
        if n_steps in requests:
            os.kill(os.getpid(), requests[n_steps])

    def write_and_copy(folder, checkpoint):
        written = write(folder, checkpoint)
        copies.append(shutil.copytree(folder.path.parent, tmp_path / f"copy{len(copies)}"))
        return written

    write = CheckpointFolder.write
    monkeypatch.setattr(ChunkLength, "adapt", send)  # chunks of one step
    monkeypatch.setattr(CheckpointFolder, "write", write_and_copy)
    observer = Observer()
    signalled = train(plan, RunPaths(tmp_path, tmp_path / "run"), 1, observer, every=CheckpointEvery("never"))
    assert observer.messages == ["checkpoint written after 7 steps", "checkpoint written after 31 steps"]
    monkeypatch.undo()
    undisturbed = start(plan, tmp_path / "undisturbed")
    assert_same_run(signalled.directory, undisturbed.directory)
    assert_same_run(resume_run(copies[1]).directory, undisturbed.directory)


@pytest.mark.parametrize("backend", ["torch", "keras", "sklearn"])
def test_a_run_resumed_within_an_epoch_is_bit_identical(backend, tmp_path, monkeypatch):
    plan = plan_for(backend, training=SHORT)
    uninterrupted = start(plan, tmp_path / "uninterrupted", every=EVERY_STEP)
    write, n_written = CheckpointFolder.write, 0

    def write_and_stop(folder, checkpoint):
        nonlocal n_written
        write(folder, checkpoint)
        n_written += 1
        if n_written in (7, 31, 55):  # 23 steps per epoch
            raise Stopped

    monkeypatch.setattr(CheckpointFolder, "write", write_and_stop)
    with pytest.raises(Stopped):
        start(plan, tmp_path / "run", every=EVERY_STEP)
    for _ in range(2):
        with pytest.raises(Stopped):
            resume_run(tmp_path / "run", every=EVERY_STEP)
    observer = Observer()
    result = resume_run(tmp_path / "run", every=EVERY_STEP, observer=observer)
    assert "resumed from the checkpoint after epoch 2 and 9 steps of the next" in observer.notes
    assert_same_run(result.directory, uninterrupted.directory)


def test_a_resumed_run_stops_early_and_keeps_the_best_weights(tmp_path):
    plan = plan_for(
        "torch", optimizer={"name": "sgd", "lr": 2.0}, training={"epochs": 40, "early_stopping": {"patience": 2}}
    )
    uninterrupted = start(plan, tmp_path / "uninterrupted")
    n_epochs = uninterrupted.record.epochs
    assert n_epochs < 40
    with pytest.raises(Stopped):
        start(plan, tmp_path / "run", stop_at=n_epochs - 1)
    result = resume_run(tmp_path / "run")
    assert_same_run(result.directory, uninterrupted.directory)
    assert any("stopped early" in note for note in result.record.notes)


def test_a_finished_run_has_no_checkpoints_and_no_traces_of_its_interruptions(stopped):
    assert (stopped / "checkpoint").is_dir()
    result = resume_run(stopped)
    names = {path.name for path in stopped.iterdir()}
    files = "config.yaml environment.json history.csv log.txt manifest.json metrics.json predictions.npz"
    assert names == {*files.split(), "preprocessing.json", "weights.safetensors"}
    assert result.record.status == "finished"
    assert result.record.error is None
    assert "resumed from the checkpoint after epoch 2" in result.record.notes


def test_files_that_a_killed_process_left_half_written_are_removed(stopped):
    parts = [stopped / ".metrics.json.1.part", stopped / "checkpoint" / ".00000009_x.safetensors.1.part"]
    for part in parts:
        part.write_bytes(b"half")
    resume_run(stopped)
    assert not [path for path in stopped.rglob("*") if path.name.endswith(".part")]


def test_time_spent_before_the_interruption_counts(stopped):
    before = json.loads((stopped / "metrics.json").read_text())["timing"]
    after = resume_run(stopped).record.timing
    assert after.first_epoch_seconds == before["first_epoch_seconds"]
    assert after.total_seconds > before["first_epoch_seconds"] + after.remaining_epochs_seconds


def test_a_finished_run_is_reported_and_left_unchanged(stopped):
    first = resume_run(stopped)
    before = {path: path.read_bytes() for path in stopped.iterdir()}
    again = resume_run(stopped)
    assert again.is_reused
    assert again.record == first.record
    assert {path: path.read_bytes() for path in stopped.iterdir()} == before


def test_a_run_without_a_checkpoint_starts_again_in_the_same_directory(tmp_path):
    uninterrupted = start(plan_for("torch"), tmp_path / "uninterrupted")
    with pytest.raises(Stopped):
        start(plan_for("torch"), tmp_path / "run", every=CheckpointEvery("never"), stop_at=3)
    observer = Observer()
    result = resume_run(tmp_path / "run", observer=observer)
    assert "resumed from the beginning" in observer.notes
    assert_same_run(result.directory, uninterrupted.directory)


def test_a_single_fit_starts_again(tmp_path):
    plan = make_plan(
        ExperimentConfig.model_validate(
            {"backend": "sklearn", "dataset": {"name": "iris"}, "model": {"name": "logistic"}}
        )
    )
    with pytest.raises(Stopped):
        start(plan, tmp_path / "run", stop_at=1)
    assert resume_run(tmp_path / "run").record.metrics["test"].accuracy > 0.9


def newest_checkpoint(path):
    return sorted((path / "checkpoint").glob("*.safetensors"))[-1]


def test_the_checkpoint_before_a_damaged_one_is_used_and_noted(stopped, tmp_path):
    uninterrupted = start(plan_for("torch"), tmp_path / "uninterrupted")
    newest = newest_checkpoint(stopped)
    newest.write_bytes(newest.read_bytes()[:-5])
    observer = Observer()
    result = resume_run(stopped, observer=observer)
    assert f"checkpoint {newest} was altered or is incomplete; the previous one is used" in observer.notes
    assert "resumed from the checkpoint after epoch 1" in observer.notes
    assert_same_run(result.directory, uninterrupted.directory)


def test_a_changed_configuration_is_refused_and_nothing_lost(stopped):
    config = stopped / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 1", 1))
    before = newest_checkpoint(stopped).read_bytes()
    with pytest.raises(DataError, match=r"config\.yaml has changed since the run started; start a new run"):
        resume_run(stopped)
    assert newest_checkpoint(stopped).read_bytes() == before
    assert RunDirectory(stopped).read_record().status == "interrupted"


def test_changed_data_are_refused(stopped, monkeypatch):
    load = train_module.load_dataset

    def other(*arguments, **options):
        return dataclasses.replace(load(*arguments, **options), fingerprint="other")

    monkeypatch.setattr(train_module, "load_dataset", other)
    with pytest.raises(DataError, match="cannot be resumed: the dataset has changed since the run started"):
        resume_run(stopped)


def test_changed_versions_are_noted(stopped, monkeypatch):
    versions = resume_module.package_versions()
    monkeypatch.setattr(resume_module, "package_versions", lambda: versions | {"torch": "99.0"})
    observer = Observer()
    resume_run(stopped, observer=observer)
    assert any(note.startswith("torch was ") and "is 99.0 now" in note for note in observer.notes)


def test_the_run_is_resumed_with_the_threads_it_started_with(stopped):
    environment = json.loads((stopped / "environment.json").read_text())
    (stopped / "environment.json").write_text(json.dumps(environment | {"threads": 3}))
    assert open_resumable(str(stopped), stopped.parent).threads == 3


@pytest.mark.parametrize("threads", [0, -1, "2", 1e9, None, 10**9])
def test_impossible_thread_counts_are_ignored(stopped, threads):
    environment = json.loads((stopped / "environment.json").read_text())
    (stopped / "environment.json").write_text(json.dumps(environment | {"threads": threads}))
    assert open_resumable(str(stopped), stopped.parent).threads is None


def test_last_is_the_newest_unfinished_run(tmp_path):
    plan = plan_for("torch")
    with pytest.raises(Stopped):
        train(plan, RunPaths(tmp_path), 1, Observer(stop_at=1))
    (unfinished,) = tmp_path.iterdir()
    train(plan, RunPaths(tmp_path), 1, Observer())
    assert open_resumable("last", tmp_path).directory.path == unfinished
    resume_run(unfinished)
    with pytest.raises(UsageError, match="no unfinished run in"):
        open_resumable("last", tmp_path)


def test_a_link_in_the_run_directory_is_not_written_through(stopped, tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_text("mine\n")
    (stopped / "history.csv").unlink()
    (stopped / "history.csv").symlink_to(outside)
    with pytest.raises(DataError, match=r"history\.csv: a link in the run directory"):
        resume_run(stopped)
    assert outside.read_text() == "mine\n"


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path):
    for name, optimizer in (("sgd", {"name": "sgd", "momentum": 0.9}), ("adam", {"name": "adam"})):
        with pytest.raises(Stopped):
            start(plan_for("torch", optimizer=optimizer), tmp_path / name, stop_at=2)
    for path in (tmp_path / "adam" / "checkpoint").iterdir():
        path.unlink()
    folders = [CheckpointFolder(tmp_path / name) for name in ("sgd", "adam")]
    other = folders[0].find().checkpoint
    record = RunDirectory(tmp_path / "adam").read_record()
    run = dataclasses.replace(other.run, digests=dict(record.digests))
    folders[1].write(dataclasses.replace(other, run=run))
    with pytest.raises(DataError, match="the state of another model or optimizer"):
        resume_run(tmp_path / "adam")


@pytest.fixture
def poisoned(monkeypatch):
    """Return data in which one value of the training split is NaN."""
    load = train_module.load_dataset

    def with_nan(*arguments, **options):
        dataset = load(*arguments, **options)
        x = dataset.train.x.astype(np.float32)
        x[17] = np.nan
        return dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, x=x))

    monkeypatch.setattr(train_module, "load_dataset", with_nan)


@pytest.mark.parametrize("backend", ["torch", "keras", "sklearn"])
def test_a_value_that_is_not_finite_stops_the_run_before_it_is_stored(backend, tmp_path, poisoned):
    with pytest.raises(DivergedError) as caught:
        start(plan_for(backend), tmp_path / "run", every=EVERY_STEP)
    message = str(caught.value)
    step = int(message.split(" in step ")[1].split(" ")[0])
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["status"] == "diverged"
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    found = CheckpointFolder(tmp_path / "run").find()
    if step > 1:
        assert found.checkpoint.position.step == step - 1
        assert all(np.isfinite(array).all() for array in found.checkpoint.weights.values())
        assert f"the last good checkpoint is {found.path}" in caught.value.__notes__[0]
    else:
        assert found.checkpoint is None


def test_a_run_interrupted_while_scoring_need_not_train_again(tmp_path, monkeypatch):
    uninterrupted = start(plan_for("torch"), tmp_path / "uninterrupted")
    real_score = train_module.full_score

    def stop(*arguments):
        raise Stopped

    monkeypatch.setattr(train_module, "full_score", stop)
    with pytest.raises(Stopped):
        start(plan_for("torch"), tmp_path / "run", every=CheckpointEvery("never"))
    monkeypatch.setattr(train_module, "full_score", real_score)
    observer = Observer()
    result = resume_run(tmp_path / "run", observer=observer)
    assert "resumed from the checkpoint at the end of training" in observer.notes
    assert observer.epochs == []
    assert_same_run(result.directory, uninterrupted.directory)


def test_a_run_interrupted_while_loading_can_be_resumed(tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise Stopped

    monkeypatch.setattr(train_module, "load_dataset", stop)
    with pytest.raises(Stopped) as caught:
        train(plan_for("torch"), RunPaths(tmp_path), 1, Observer())
    monkeypatch.undo()
    (path,) = tmp_path.iterdir()
    assert RunDirectory(path).read_record().status == "interrupted"
    assert caught.value.__notes__ == [f"to resume from the beginning: mlcli train --resume {path}"]
    assert resume_run(path).record.status == "finished"


def test_the_command_that_resumes_a_run_names_the_data_directory(tmp_path, monkeypatch):
    data = tmp_path / "my data"
    with pytest.raises(Stopped) as caught:
        train(plan_for("torch"), RunPaths(tmp_path / "runs", tmp_path / "run", data, True), 1, Observer(stop_at=2))
    (note,) = caught.value.__notes__
    assert note.endswith(f"mlcli train --resume {tmp_path}/run --data-dir '{data}' --offline")


def test_a_run_that_is_still_running_is_not_resumed(stopped):
    from mlcli.runs.lock import RunLock

    lock = RunLock.acquire(stopped)
    try:
        with pytest.raises(MlcliError, match="is locked by process"):
            resume_run(stopped)
    finally:
        lock.release()


def test_a_signal_waits_for_the_end_of_a_chunk(tmp_path, monkeypatch):
    """A checkpoint of exactly that step is written first, as in a real process."""
    monkeypatch.setattr(signals, "_signals", signals._Signals())

    class Signalled(Observer):
        def on_epoch(self, record, n_epochs):
            super().on_epoch(record, n_epochs)
            if record.epoch == 2:
                signals._signals.on_signal(15, None)

    with pytest.raises(signals.Interrupted) as caught:
        train(plan_for("torch"), RunPaths(tmp_path, tmp_path / "run"), 1, Signalled(), every=CheckpointEvery("never"))
    assert caught.value.exit_code == 143
    assert CheckpointFolder(tmp_path / "run").find().checkpoint.description == "after epoch 2"
