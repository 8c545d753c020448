"""The table of docs/tutorial.md: every result is that of plain framework code, and that of mlcli."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from typer.testing import CliRunner

from mlcli.cli.app import app
from tests.fixtures.pages import section, table

HIDDEN, BATCH_SIZE, N_TRAIN = 512, 128, 60_000


@pytest.fixture(scope="module")
def shown():
    return {row[0]: row[1] for row in table(section("docs/tutorial.md", "By hand and with mlcli"))}


@pytest.fixture
def mlcli(tmp_path, monkeypatch):
    """Run a command in an empty folder and return the document that it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        outcome = CliRunner().invoke(app, [*arguments, "--format", "json"])
        assert outcome.exit_code == 0, outcome.exception
        return json.loads(outcome.stdout)

    return run


def test_the_irises(shown, mlcli):
    X, y = load_iris(return_X_y=True)
    by_hand = LogisticRegression(max_iter=1000).fit(X, y)
    scores = mlcli("train", "iris_logistic", "--backend", "sklearn")["metrics"]["test"]
    n_right = round(scores["accuracy"] * scores["n_samples"])
    assert shown["irises that softmax regression gets right"] == f"{n_right} of {len(y)}"
    assert n_right == (by_hand.predict(X) == y).sum()

    evaluation = mlcli("evaluate", "last", "--output", "scores.csv")
    loss, f1 = log_loss(y, by_hand.predict_proba(X)), f1_score(y, by_hand.predict(X), average="macro")
    assert shown["mean loss of these predictions"] == f"{loss:.2f}" == f"{evaluation['metrics']['loss']:.2f}"
    assert shown["their macro F1"] == f"{f1:.4f}" == f"{evaluation['macro']['f1']:.4f}"
    with open("scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    logits = np.array([[float(row[f"logit_{name}"]) for name in ("setosa", "versicolor", "virginica")] for row in rows])
    np.testing.assert_allclose(logits, X @ by_hand.coef_.T + by_hand.intercept_, rtol=0.01, atol=0.01)
    n_equal = sum(row["prediction"] == str(line.argmax()) for row, line in zip(rows, logits, strict=True))
    assert shown["class with the largest x W^T + b"] == f"{n_equal} of {len(rows)} as predicted"


def test_the_network(shown, mlcli):
    from torch import nn

    model = nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    summary = mlcli("train", "mnist_mlp", "--backend", "torch", "--summary")
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert shown["parameters of 784-512-10"] == f"{n_parameters:,}" == f"{summary['n_parameters']:,}"
    native = summary["layers"][1]["native_shapes"]["1.weight"]
    assert shown["shape of the first weight in PyTorch"] == _shape(model[1].weight.shape) == _shape(native)


def test_the_network_in_keras(shown, mlcli):
    kernel = mlcli("train", "mnist_mlp", "--backend", "keras", "--summary")["layers"][1]["native_shapes"]["kernel"]
    import keras

    layer = keras.layers.Dense(HIDDEN)
    layer.build((None, 784))
    assert shown["shape of the first kernel in Keras"] == _shape(layer.kernel.shape) == _shape(kernel)


def test_the_transposed_weight(shown, mlcli):
    import keras
    import torch
    from torch import nn

    layer, linear, x = keras.layers.Dense(3), nn.Linear(4, 3), torch.rand(5, 4)
    layer.build((None, 4))
    layer.set_weights([linear.weight.detach().numpy().T, linear.bias.detach().numpy()])
    with torch.no_grad():
        torch.testing.assert_close(layer(x), linear(x))
    experiment = ("--backend", "torch,keras", "--dataset", "iris", "--model", "logistic", "--steps", "2")
    explained = mlcli("parity", *experiment, "--explain")["explanation"]
    shapes = [engine["weight_shape"] for engine in explained["engines"]]
    assert shapes == [[3, 4], [4, 3]]
    assert max(engine["largest_difference"] for engine in explained["engines"]) < explained["tolerance"]
    assert shown["scores of `Dense` with the transposed weight of `nn.Linear`"] == "equal"


def test_the_batches(shown, mlcli):
    from torch.utils.data import DataLoader

    batches = DataLoader(range(N_TRAIN), batch_size=BATCH_SIZE)
    plan = mlcli("train", "mnist_mlp", "--dry-run")["plan"]
    *_, last = batches
    assert (
        shown["steps per epoch of 60,000 samples in batches of 128"]
        == str(len(batches))
        == str(plan["steps_per_epoch"])
    )
    assert shown["size of the last batch"] == str(len(last)) == str(plan["last_batch_size"])


def _shape(shape):
    return "x".join(map(str, shape))
