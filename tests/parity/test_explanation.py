"""The identity logits = x W^T + b of the last layer holds in every engine, and an engine that breaks it is found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mlcli.config.experiment import load_experiment
from mlcli.errors import MlcliError
from mlcli.parity import ParityRequest
from mlcli.parity.explanation import raise_if_wrong
from mlcli.parity.parity import check_parity, raise_if_different
from mlcli.parity.report import print_parity


def explained(backends, *settings, n_steps=3):
    experiments = {
        backend: load_experiment(None, flags={"backend": backend}, settings=settings, environ={})
        for backend in backends
    }
    return check_parity(experiments, ParityRequest("", n_steps=n_steps, explain=True), threads=1)


@pytest.fixture(scope="module")
def iris():
    return explained(["sklearn", "torch", "keras"], "dataset.name=iris", "model.name=logistic")


def test_every_engine_computes_the_logits_that_are_computed_by_hand(iris):
    explanation = iris.explanation
    assert explanation.layer == "1 linear 4 to 3"
    assert any(explanation.bias)
    for index, logit in enumerate(explanation.logits):
        products = [x * w for x, w in zip(explanation.x, explanation.weight[index], strict=True)]
        assert logit == pytest.approx(sum(products) + explanation.bias[index], abs=1e-12)
    assert [engine.engine for engine in explanation.engines] == ["sklearn", "torch", "keras"]
    for engine in explanation.engines:
        assert engine.logits == pytest.approx(explanation.logits, abs=1e-6)
    assert explanation.largest_difference < 1e-6
    raise_if_different(iris)


def test_the_input_is_the_scaled_sample(iris):
    from mlcli.config.schema import DatasetConfig
    from mlcli.data.load import load_dataset

    dataset = load_dataset(DatasetConfig(name="iris"))
    expected = (dataset.test.x[0] - dataset.scaling.shift) / dataset.scaling.scale
    assert iris.explanation.x == pytest.approx(expected.tolist())
    assert iris.explanation.true_class == dataset.info.class_names[dataset.test.y[0]]


def test_the_kernel_of_keras_is_the_transpose(iris):
    shapes = {engine.engine: (engine.weight_name, engine.weight_shape) for engine in iris.explanation.engines}
    assert shapes == {"sklearn": ("coef_", (3, 4)), "torch": ("1.weight", (3, 4)), "keras": ("kernel", (4, 3))}


@pytest.mark.parametrize(
    "settings",
    [
        ("model.hidden=[12,8]", "model.activation=tanh"),
        ("model.hidden=[12]", "model.activation=gelu", "model.dropout=0.3", "model.output=softmax"),
        ("model.name=cnn", "model.channels=[4,3]", "model.hidden=8", "model.kernel_size=5"),
    ],
    ids=["tanh", "gelu, dropout and softmax", "cnn"],
)
def test_the_layers_before_the_last_are_computed_in_numpy_too(settings):
    report = explained(["torch", "keras"], "training.batch_size=50", *settings)
    explanation = report.explanation
    assert len(explanation.engines) == 2
    assert np.abs(explanation.logits).max() > 1e-2
    assert explanation.largest_difference < explanation.tolerance
    raise_if_wrong(explanation)


@pytest.mark.parametrize("difference", [1e-3, float("nan")])
def test_other_logits_are_an_error_that_names_the_engine(iris, difference):
    first, *others = iris.explanation.engines
    wrong = replace(iris.explanation, engines=(*others, replace(first, largest_difference=difference)))
    with pytest.raises(MlcliError, match=r"logits of sklearn differ from x W\^T \+ b"):
        raise_if_different(replace(iris, explanation=wrong))


def test_the_report_has_numbers_and_shapes_in_every_format(iris, capsys):
    for output_format in ("table", "markdown"):
        print_parity(iris, output_format)
        text = capsys.readouterr().out
        for words in ("kernel 4x3", "coef_ 3x4", "1.weight 3x4", f"{iris.explanation.logits[0]:.6f}", "setosa"):
            assert words in text
    print_parity(iris, "json")
    explanation = json.loads(capsys.readouterr().out)["explanation"]
    assert np.shape(explanation["weight"]) == (3, 4)
    assert explanation["engines"][2]["weight_shape"] == [4, 3]
    print_parity(replace(iris, explanation=None), "json")
    assert json.loads(capsys.readouterr().out)["explanation"] is None
