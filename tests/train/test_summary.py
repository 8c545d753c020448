"""The summary of a model before training."""

from __future__ import annotations

import json

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.experiment.plan import make_plan
from mlcli.train.summary import print_model_summary


def printed(capsys, output_format, **settings):
    print_model_summary(make_plan(ExperimentConfig.model_validate(settings)), 1, output_format)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("backend", "names", "shapes"),
    [
        ("torch", ["1.weight", "1.bias", "3.weight", "3.bias"], [[32, 784], [32], [10, 32], [10]]),
        ("keras", ["kernel", "bias", "kernel", "bias"], [[784, 32], [32], [32, 10], [10]]),
        ("sklearn", ["coefs_[0]", "intercepts_[0]", "coefs_[1]", "intercepts_[1]"], [[784, 32], [32], [32, 10], [10]]),
    ],
)
def test_each_engine_shows_its_own_names_and_shapes_beside_those_of_torch(capsys, backend, names, shapes):
    model = {"name": "mlp", "hidden": (32,)}
    document = json.loads(printed(capsys, "json", backend=backend, dataset={"name": "mnist"}, model=model))
    assert document["schema_version"] == 1
    assert document["n_parameters"] == 784 * 32 + 32 + 32 * 10 + 10
    layers = document["layers"]
    assert [layer["output_shape"] for layer in layers] == [[784], [32], [32], [10]]
    assert [layer["n_parameters"] for layer in layers] == [0, 784 * 32 + 32, 0, 32 * 10 + 10]
    native = [pair for layer in layers for pair in layer["native_shapes"].items()]
    assert native == list(zip(names, shapes, strict=True))
    assert [list(layer["weight_shapes"].values()) for layer in layers][1] == [[32, 784], [32]]


def test_the_table_of_keras_has_both_shapes_and_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = printed(capsys, "table", backend="keras", dataset={"name": "mnist"}, model={"name": "logistic"})
    assert "1.weight 10x784" in text
    assert "kernel 784x10" in text
    assert "7,850 parameters" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "in torch" not in printed(capsys, "markdown", backend="torch", model={"name": "logistic"})


@pytest.mark.parametrize("output_format", ["table", "csv", "markdown", "json"])
def test_an_estimator_is_shown_with_its_parameters(capsys, output_format):
    model = {"name": "estimator", "estimator": "KNeighborsClassifier", "parameters": {"n_neighbors": 77}}
    text = printed(capsys, output_format, backend="sklearn", dataset={"name": "iris"}, model=model)
    assert "n_neighbors" in text
    assert "77" in text
    assert "metric_params" in text
    if output_format == "json":
        document = json.loads(text)
        assert (document["estimator"], document["layers"]) == ("KNeighborsClassifier", [])
        assert document["parameters"]["metric_params"] is None
