"""The defaults that depend on engine, model and data, and the accuracy that they reach."""

from __future__ import annotations

import math
import statistics
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from mlcli.config.schema import AdamW, DatasetConfig, ExperimentConfig
from mlcli.data.load import load_dataset
from mlcli.errors import UsageError
from mlcli.experiment.defaults import n_train_samples
from mlcli.experiment.plan import make_plan
from mlcli.registry import dataset_info
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train


def plan(backend, dataset, model, **settings):
    experiment = {"backend": backend, "dataset": dataset, "model": {"name": model}} | settings
    return make_plan(ExperimentConfig.model_validate(experiment))


@pytest.mark.parametrize("name", ["iris", "digits"])
@pytest.mark.parametrize("test", ["auto", "train", 0.25, 0.99])
@pytest.mark.parametrize("validation", [None, "test", 0.1, 1 / 3])
@pytest.mark.parametrize("limit", [None, 50, 10_000])
def test_the_number_of_training_samples_is_known_without_the_data(name, test, validation, limit):
    config = DatasetConfig(name=name, test=test, validation=validation, limit=limit)
    found = n_train_samples(config, dataset_info(name))
    try:
        assert found == len(load_dataset(config).train)
    except UsageError:  # a split without samples
        assert found >= 1


@pytest.mark.parametrize(("name", "n_samples"), [("mnist", 60_000), ("fashion", 60_000)])
def test_a_dataset_with_a_test_set_trains_on_all_its_training_samples(name, n_samples):
    assert n_train_samples(DatasetConfig(name=name), dataset_info(name)) == n_samples
    assert n_train_samples(DatasetConfig(name=name, test=0.5, validation=0.5), dataset_info(name)) == n_samples / 4


@pytest.mark.parametrize("backend", ["sklearn", "torch", "keras"])
@pytest.mark.parametrize(
    ("dataset", "batch_size", "epochs"),
    [
        ({"name": "iris"}, 32, 250),
        ({"name": "digits"}, 32, 23),
        ({"name": "digits", "limit": 10}, 32, 1000),
        ({"name": "mnist", "limit": 9_999}, 32, 10),
        ({"name": "mnist", "limit": 10_000}, 128, 13),
        ({"name": "mnist"}, 128, 10),
    ],
)
def test_small_data_is_trained_for_more_epochs_in_smaller_batches(backend, dataset, batch_size, epochs):
    made = plan(backend, dataset, "mlp")
    training = made.config.training
    assert (training.batch_size, training.epochs, made.has_default_epochs) == (batch_size, epochs, True)
    assert training.epochs >= 10
    assert training.epochs * math.ceil(made.n_train_samples / training.batch_size) >= 1000


def test_another_batch_size_changes_nothing_else():
    made = plan("torch", {"name": "iris"}, "mlp", training={"batch_size": 120})
    assert (
        made.config.training.model_copy(update={"batch_size": 32})
        == plan("torch", {"name": "iris"}, "mlp").config.training
    )


def test_what_is_set_stays():
    made = plan("torch", {"name": "iris"}, "logistic", training={"epochs": 1, "batch_size": 128},
                optimizer={"name": "adam", "lr": 0.5, "weight_decay": 0.0}, schedule={"name": "constant"})  # fmt: skip
    config = made.config
    assert (config.training.epochs, config.training.batch_size, made.has_default_epochs) == (1, 128, False)
    assert (config.optimizer.lr, config.optimizer.weight_decay, config.schedule.name) == (0.5, 0.0, "constant")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_logistic_regression_has_the_same_penalty_on_every_engine(backend, optimizer):
    (lbfgs, other) = (plan("sklearn", {}, "logistic"), plan(backend, {}, "logistic", optimizer={"name": optimizer}))
    assert lbfgs.config.optimizer.weight_decay == other.config.optimizer.weight_decay == 1 / 1438
    assert plan(backend, {}, "mlp", optimizer={"name": optimizer}).config.optimizer.weight_decay == 0.0


def test_decoupled_weight_decay_is_no_penalty_and_keeps_its_own_default():
    assert plan("torch", {}, "logistic", optimizer={"name": "adamw"}).config.optimizer.weight_decay == 0.01
    assert AdamW().weight_decay == 0.01


def trained(folder, backend, dataset, model, **settings):
    made = plan(backend, dataset, model, **settings)
    return train(made, RunPaths(folder), 1, QuietProgress(show_notes=False))


def scaled(dataset, split):
    x = split.x.astype(np.float64) - (0.0 if dataset.scaling.shift is None else dataset.scaling.shift)
    return (x / dataset.scaling.scale).reshape(len(x), -1)


def of_scikit_learn(estimator, **dataset):
    """Fit a classifier of scikit-learn with its own defaults to the data as mlcli splits and scales them."""
    data = load_dataset(DatasetConfig(**dataset))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = estimator(random_state=0).fit(scaled(data, data.train), data.train.y)
    return fitted, fitted.score(scaled(data, data.test), data.test.y)


@pytest.mark.parametrize("name", ["iris", "digits"])
def test_logistic_regression_is_scikit_learns_default(name, tmp_path):
    from safetensors.numpy import load_file

    result = trained(tmp_path, "sklearn", {"name": name}, "logistic", runtime={"precision": "float64"})
    weights = load_file(result.directory / "weights.safetensors")
    expected, accuracy = of_scikit_learn(LogisticRegression, name=name)
    np.testing.assert_allclose(weights["1.weight"], expected.coef_, atol=2e-3)
    assert result.record.metrics["test"].accuracy == accuracy


REFERENCES = {"logistic": LogisticRegression, "mlp": MLPClassifier, "cnn": MLPClassifier}
CASES = [
    (dataset, model, backend)
    for dataset, model in (
        ("iris", "logistic"),
        ("iris", "mlp"),
        ("digits", "logistic"),
        ("digits", "mlp"),
        ("digits", "cnn"),
    )
    for backend in ("sklearn", "torch", "keras")
    if (model, backend) != ("cnn", "sklearn")
    and (dataset, backend) != ("iris", "keras")  # the same mathematics and defaults as torch, ten times as slow
]


@pytest.fixture(scope="module")
def reference_accuracy():
    """The mean accuracy of scikit-learn's default over the split seeds, fitted once per dataset and model."""
    known = {}

    def accuracy(dataset, model, split_seeds):
        key = (dataset, REFERENCES[model])
        if key not in known:
            scores = [of_scikit_learn(key[1], name=dataset, split_seed=seed)[1] for seed in split_seeds]
            known[key] = statistics.fmean(scores)
        return known[key]

    return accuracy


@pytest.mark.parametrize(("dataset", "model", "backend"), CASES)
def test_every_default_reaches_what_scikit_learns_default_reaches(
    dataset, model, backend, tmp_path, reference_accuracy
):
    """Within 2 percentage points; on iris over three splits, because one has only 30 test samples."""
    split_seeds = (0, 1, 2) if dataset == "iris" else (0,)
    records = [trained(tmp_path, backend, {"name": dataset, "split_seed": seed}, model).record for seed in split_seeds]
    accuracy = statistics.fmean(record.metrics["test"].accuracy for record in records)
    assert accuracy >= reference_accuracy(dataset, model, split_seeds) - 0.02
    notes = [note for record in records for note in record.notes]
    assert not [note for note in notes if not note.startswith("timings are unreliable")]  # on a busy machine
