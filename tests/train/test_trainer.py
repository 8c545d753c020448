"""Training end to end, in this process, on data that ships with scikit-learn."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DivergedError, MlcliError, UsageError
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.metrics.scores import full_score, largest_class
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_run
from mlcli.runs.reader import VerifiedFiles
from mlcli.train import checkpointing, epochs
from mlcli.train.trainer import RunPaths, train

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BACKENDS = ("sklearn", "torch", "keras")


class Recorder:
    """An observer that keeps everything; at epoch fail_at it raises the error."""

    def __init__(self, fail_at=None, error=None):
        self.epochs, self.notes, self.stages, self.steps = [], [], [], []
        self._fail_at, self._error = fail_at, error

    def on_stage(self, text):
        self.stages.append(text)

    def on_slow_step(self, text):
        self.stages.append(text)

    def on_steps(self, progress):
        self.steps.append(progress)

    def on_epoch(self, record, n_epochs):
        self.epochs.append(record)
        if record.epoch == self._fail_at:
            raise self._error

    def on_note(self, text):
        self.notes.append(text)


def run(tmp_path, *, observer=None, if_needed=False, out=None, **settings):
    plan = make_plan(ExperimentConfig.model_validate(settings))
    return train(plan, RunPaths(tmp_path, out), 1, observer or Recorder(), if_needed=if_needed)


def small(backend, **training):
    return {"backend": backend, "model": {"name": "mlp", "hidden": (32,)}, "training": {"epochs": 3, **training}}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_writes_every_file(backend, tmp_path):
    observer = Recorder()
    result = run(tmp_path, observer=observer, dataset={"validation": 0.1}, **small(backend))
    directory = result.directory
    files = "config.yaml environment.json history.csv log.txt manifest.json metrics.json predictions.npz"
    assert {path.name for path in directory.iterdir()} >= {*files.split(), "weights.safetensors"}
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["status"] == "finished"
    assert metrics["schema_version"] == 2
    assert set(metrics["metrics"]) == {"train", "validation", "test"}
    with (directory / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["train_loss"]) for row in rows] == [record.train_loss for record in observer.epochs]
    predictions = np.load(directory / "predictions.npz")
    assert (predictions["labels"] == predictions["y"]).mean() == metrics["metrics"]["test"]["accuracy"]
    assert (metrics["n_train_samples"], metrics["metrics"]["train"]["n_samples"]) == (1294, 1294)
    timing = metrics["timing"]
    assert min(timing.values()) > 0
    parts = sum(value for name, value in timing.items() if name != "total_seconds")
    assert 0 < parts <= timing["total_seconds"]
    assert RunDirectory(directory).read_record() == result.record


def test_steps_and_losses_are_reported_within_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointing, "_CHUNK_SECONDS", math.inf)  # chunks of 1, 8, 64, ... steps on any machine
    observer = Recorder()
    run(tmp_path, observer=observer, **small("sklearn", batch_size=32))
    assert [progress.step for progress in observer.steps[:3]] == [1, 9, 45]
    assert {progress.n_steps for progress in observer.steps} == {45}  # of the 1438 training samples
    ends = [progress for progress in observer.steps if progress.step == 45]
    assert [(end.epoch, end.n_epochs) for end in ends] == [(1, 3), (2, 3), (3, 3)]
    assert [end.loss for end in ends] == [record.train_loss for record in observer.epochs]
    assert observer.stages == [
        "loading digits",
        "importing scikit-learn and building mlp",
        "training mlp",
        "scoring the training split",
        "scoring the test split",
    ]


def scored_on_train(result):
    """Score the stored weights of a run on its training split."""
    stored = open_run(RunDirectory(result.directory))
    samples = stored.load_dataset().train
    return full_score(stored.build_engine().predict(samples.x), samples.y, largest_class(samples.y))


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_the_training_scores_are_those_of_the_kept_weights_without_dropout(backend, tmp_path):
    settings = small(backend) | {"model": {"name": "mlp", "hidden": (32,), "dropout": 0.6}}
    result = run(tmp_path, **settings)
    assert result.record.metrics["train"] == scored_on_train(result)
    (*_, last) = RunDirectory(result.directory).read_history()
    assert last.train_accuracy < result.record.metrics["train"].accuracy - 0.1  # the running mean, with dropout


def test_without_validation_no_epoch_is_the_best(tmp_path):
    observer = Recorder()
    record = run(tmp_path, observer=observer, **small("torch")).record
    assert [epoch.is_best for epoch in observer.epochs] == [False, False, False]
    assert (record.best_epoch, record.kept_epoch, record.epochs) == (None, 3, 3)


def test_the_weights_of_the_last_epoch_are_kept_although_another_was_best(tmp_path):
    settings = small("torch") | {"optimizer": {"name": "sgd", "lr": 3.0}, "training": {"epochs": 8}}
    observer = Recorder()
    result = run(tmp_path, observer=observer, dataset={"validation": "test", "name": "iris"}, **settings)
    best = min(observer.epochs, key=lambda epoch: epoch.validation_loss)
    assert (result.record.best_epoch, result.record.kept_epoch) == (best.epoch, 8)
    assert best.epoch < 8
    assert result.record.metrics["test"].loss == observer.epochs[-1].validation_loss


def test_an_estimator_is_scored_on_a_bounded_part_of_its_training_split(tmp_path, monkeypatch):
    """Nearest neighbours search the whole split for every sample that they predict."""
    from mlcli.engines.sklearn.estimator import EstimatorEngine

    monkeypatch.setattr(epochs, "MOST_SCORED_BY_ESTIMATORS", 100)
    seen, predict = [], EstimatorEngine.predict
    monkeypatch.setattr(EstimatorEngine, "predict", lambda self, x: seen.append(x) or predict(self, x))
    model = {"name": "estimator", "estimator": "KNeighborsClassifier"}
    result = run(tmp_path, backend="sklearn", model=model)
    scored = result.record.metrics["train"]
    assert ([len(x) for x in seen], scored.n_samples, result.record.n_train_samples) == ([100, 359], 100, 1438)
    expected = open_run(RunDirectory(result.directory)).load_dataset().train.x[np.arange(100) * 1438 // 100]
    np.testing.assert_array_equal(seen[0], expected)
    (row,) = RunDirectory(result.directory).read_history()
    assert (row.train_accuracy, row.samples_per_second, row.is_best) == (scored.accuracy, None, False)
    assert result.record.samples_per_second is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_is_bit_identical_and_another_seed_is_not(backend, tmp_path):
    first, second, other = (run(tmp_path, seed=seed, **small(backend)) for seed in (1, 1, 2))
    weights = [load_file(result.directory / "weights.safetensors") for result in (first, second, other)]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])
    assert first.record.metrics == second.record.metrics
    assert first.record.digests == second.record.digests
    assert not np.array_equal(weights[0]["1.weight"], weights[2]["1.weight"])


def test_the_engines_start_from_the_same_weights_and_use_the_same_batches(tmp_path):
    digests = [run(tmp_path, **small(backend)).record.digests for backend in BACKENDS]
    for name in ("initial_weights", "batch_order", "dataset", "split"):
        assert len({digest[name] for digest in digests}) == 1, name


@pytest.mark.parametrize(("epochs", "is_noted"), [(24, True), (25, False)])
def test_fewer_than_a_hundred_steps_are_noted(epochs, is_noted, tmp_path):
    observer = Recorder()
    training = {"epochs": epochs, "batch_size": 32}  # 4 steps per epoch
    run(tmp_path, observer=observer, backend="torch", dataset={"name": "iris"}, training=training)
    assert [note.partition(":")[0] for note in observer.notes] == (["only 96 training steps"] if is_noted else [])


def test_a_default_number_of_epochs_is_printed_with_its_rule(tmp_path):
    observer = Recorder()
    dataset = {"name": "iris", "limit": 40}
    run(tmp_path, observer=observer, backend="torch", dataset=dataset, training={"batch_size": 40})
    rule = "at least 10, and at least 1,000 steps of the default batch size"
    assert f"500 epochs by default: {rule}" in observer.stages
    assert not observer.notes


@pytest.mark.parametrize("backend", BACKENDS)
def test_digits_mlp_reaches_its_accuracy_on_every_engine(backend, tmp_path):
    plan = make_plan(load_experiment(CONFIGS / "digits_mlp.yaml", flags={"backend": backend}))
    assert train(plan, RunPaths(tmp_path), 1, Recorder()).record.metrics["test"].accuracy >= 0.96


def test_iris_scored_on_its_own_samples_gets_146_of_150(tmp_path):
    observer = Recorder()
    plan = make_plan(load_experiment(CONFIGS / "iris_logistic.yaml", flags={"backend": "sklearn"}))
    result = train(plan, RunPaths(tmp_path), 1, observer)
    metrics = result.record.metrics["test"]
    assert round(metrics.accuracy * metrics.n_samples) == 146
    assert metrics.n_samples == 150
    assert any("training data" in note for note in observer.notes)


def test_a_written_config_runs_again_bit_identically(tmp_path):
    first = run(tmp_path, dataset={"name": "iris", "validation": 0.2}, seed=4, **small("torch"))
    plan = make_plan(load_experiment(first.directory / "config.yaml"))
    second = train(plan, RunPaths(tmp_path), 1, Recorder())
    assert first.record.metrics == second.record.metrics
    assert first.record.digests == second.record.digests


def test_an_estimator_is_trained_in_a_single_fit_and_stored_without_pickle(tmp_path):
    import skops.io

    model = {"name": "estimator", "estimator": "RandomForestClassifier", "parameters": {"n_estimators": 20}}
    result = run(tmp_path, backend="sklearn", model=model)
    assert result.record.epochs is None
    assert result.record.metrics["test"].accuracy > 0.9
    data = (result.directory / "estimator.skops").read_bytes()
    assert skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data)).n_estimators == 20


def test_early_stopping_stops_and_keeps_the_best_weights(tmp_path):
    stopping = {"patience": 2, "monitor": "validation_accuracy"}
    observer = Recorder()
    result = run(
        tmp_path,
        observer=observer,
        dataset={"validation": "test", "name": "iris"},
        optimizer={"name": "sgd", "lr": 3.0},
        **small("torch", early_stopping=stopping) | {"training": {"epochs": 200, "early_stopping": stopping}},
    )
    best = max(observer.epochs, key=lambda record: record.validation_accuracy)
    assert result.record.epochs == best.epoch + 2 < 200
    assert result.record.best_epoch == best.epoch
    assert result.record.metrics["test"].accuracy == best.validation_accuracy
    assert result.record.metrics["validation"] == result.record.metrics["test"]
    assert result.record.kept_epoch == best.epoch
    assert result.record.metrics["train"] == scored_on_train(result)
    # The running mean of the epoch is another number: the weights changed after each of its steps.
    assert result.record.metrics["train"].loss != pytest.approx(best.train_loss, rel=1e-3)
    assert any("stopped early" in note for note in result.record.notes)


@pytest.mark.parametrize(("monitor", "best"), [("validation_roc_auc", max), ("validation_brier_score", min)])
def test_early_stopping_monitors_any_metric_in_its_direction(tmp_path, monitor, best):
    observer, stopping = Recorder(), {"patience": 3, "monitor": monitor}
    result = run(
        tmp_path,
        observer=observer,
        dataset={"validation": "test", "name": "breast_cancer"},
        optimizer={"name": "sgd", "lr": 3.0},
        **small("torch") | {"training": {"epochs": 100, "batch_size": 64, "early_stopping": stopping}},
    )
    kept = best(observer.epochs, key=lambda record: record.monitored)
    assert result.record.epochs == kept.epoch + 3 < 100
    assert [record.epoch for record in observer.epochs if record.is_best][-1] == result.record.kept_epoch == kept.epoch
    name = monitor.removeprefix("validation_")
    assert getattr(result.record.metrics["test"], name) == kept.monitored
    assert result.record.metrics["validation"] == result.record.metrics["test"]
    assert VerifiedFiles(result.directory).history() == observer.epochs


class DisturbedClock:
    """A clock that other processes make run faster during some epochs: `seconds` are their durations."""

    def __init__(self, seconds):
        self.seconds, self.now = iter(seconds), 0.0

    def train_steps(self, train_steps):
        def train(engine, order, rates):
            self.now += next(self.seconds)
            return train_steps(engine, order, rates)

        return train


@pytest.mark.parametrize(("seconds", "is_noted"), [((9, 6, 55, 50, 18), True), ((9, 6, 6, 6.3, 7), False)])
def test_uneven_epochs_are_noted_once_with_their_median_whatever_the_load_says(
    seconds, is_noted, tmp_path, monkeypatch
):
    from mlcli.engines.torch.engine import TorchEngine

    clock = DisturbedClock(seconds)
    monkeypatch.setattr(TorchEngine, "train_steps", clock.train_steps(TorchEngine.train_steps))
    monkeypatch.setattr("mlcli.timing.time.perf_counter", lambda: clock.now)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0 if is_noted else 99.0, 0.0, 0.0))
    monkeypatch.setattr(epochs, "ChunkLength", WholeEpochs)
    observer = Recorder()
    settings = {"backend": "torch", "dataset": {"name": "iris"}, "training": {"epochs": 5, "batch_size": 1}}
    record = run(tmp_path, observer=observer, **settings).record
    notes = [note for note in observer.notes if "unreliable" in note]
    assert len(notes) == (1 if is_noted else 0)
    if is_noted:
        assert "6 to 55 s, median 34 s" in notes[0]
    assert record.median_epoch_seconds == pytest.approx(np.median(seconds[1:]))


class WholeEpochs:
    def __init__(self, every):
        pass

    def next(self, step, n_left):
        return n_left

    def adapt(self, n_steps, seconds):
        pass


def test_a_run_that_diverges_is_recorded_as_diverged(tmp_path):
    with pytest.raises(DivergedError, match="learning rate"):
        run(tmp_path, **small("torch") | {"optimizer": {"name": "sgd", "lr": 1e30}})
    (directory,) = tmp_path.iterdir()
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["status"] == "diverged"
    assert not (directory / "weights.safetensors").exists()


def test_an_interrupted_run_keeps_its_history(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, observer=Recorder(fail_at=2, error=KeyboardInterrupt()), **small("torch"))
    (directory,) = tmp_path.iterdir()
    assert RunDirectory(directory).read_record().status == "interrupted"
    assert len((directory / "history.csv").read_text().splitlines()) == 3


def test_an_identical_finished_run_is_reported_not_repeated(tmp_path):
    settings = small("torch")
    first = run(tmp_path, **settings)
    again = run(tmp_path, if_needed=True, name="another_name", **settings)
    assert again.is_reused
    assert again.directory == first.directory
    assert again.record == first.record
    assert not run(tmp_path, if_needed=True, seed=9, **settings).is_reused
    assert not run(tmp_path, if_needed=False, **settings).is_reused


@pytest.mark.parametrize("name", [None, "chosen"])
def test_the_run_trained_last_is_the_last_also_after_the_clock_was_set_back(name, tmp_path, stored_runs):
    shutil.copytree(stored_runs / "20260101T000000Z_iris", tmp_path / "29990101T000000000Z_iris_sklearn_s0_aaaaaaa")
    settings = {"backend": "sklearn", "dataset": {"name": "iris"}, "model": {"name": "logistic"}}
    for seed in (1, 2):
        result = run(tmp_path, out=name and tmp_path / f"{name}{2 - seed}", seed=seed, **settings)
        assert find_run("last", tmp_path).path == result.directory
    assert result.record.created == "2999-01-01T00:00:00.002+00:00"


def test_a_batch_larger_than_the_data_is_one_batch_and_noted(tmp_path):
    observer = Recorder()
    run(tmp_path, observer=observer, dataset={"name": "iris"}, **small("torch", batch_size=1000))
    assert any("one batch per epoch" in note for note in observer.notes)


def test_nothing_is_left_when_the_data_is_missing(tmp_path):
    plan = make_plan(ExperimentConfig.model_validate({"dataset": {"name": "mnist"}, "backend": "torch"}))
    with pytest.raises(MlcliError, match="mlcli data fetch mnist"):
        train(plan, RunPaths(tmp_path / "runs", data_directory=tmp_path / "data", offline=True), 1, Recorder())
    assert not (tmp_path / "runs").exists()


def test_the_run_directory_can_be_named(tmp_path):
    result = run(tmp_path, out=tmp_path / "here", **small("torch"))
    assert result.directory == tmp_path / "here"
    with pytest.raises(UsageError, match="does not exist"):
        run(tmp_path, out=tmp_path / "here", **small("torch"))


def test_an_out_of_memory_error_suggests_a_batch_size_that_may_fit(tmp_path):
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(MlcliError, match="--batch-size 64 may fit") as caught:
        run(tmp_path, observer=Recorder(fail_at=1, error=error), **small("torch", batch_size=128))
    assert caught.value.exit_code == 5


@pytest.mark.images
@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_an_epoch_of_fashion_mnist_already_beats_eighty_percent(backend, image_data_dir, tmp_path):
    settings = {"backend": backend, "dataset": {"name": "fashion"}, "training": {"epochs": 1}}
    plan = make_plan(ExperimentConfig.model_validate(settings))
    result = train(plan, RunPaths(tmp_path, data_directory=image_data_dir, offline=True), 2, Recorder())
    assert result.record.metrics["test"].accuracy > 0.80
    assert result.record.metrics["test"].n_samples == 10_000
