"""The Keras engine: training step, precision, memory layouts and backend."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits, load_iris

from mlcli.config.schema import Adam, AdamW, CnnModel, EstimatorModel, Lbfgs, LogisticModel, MlpModel, RmsProp, Sgd
from mlcli.engines import keras as keras_package
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.keras import keras
from mlcli.engines.keras.engine import KerasEngine
from mlcli.engines.torch.engine import TorchEngine
from mlcli.errors import UsageError
from mlcli.models.layers import build_network
from mlcli.models.weights import as_precision, initial_weights
from mlcli.records import Scaling

BATCH_SIZE = 48
N_STEPS = 21  # 1000 samples, the last batch short
UNIT = Scaling("unit", None, 16.0)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:1000].astype(np.uint8).reshape(-1, 1, 8, 8), y[:1000].astype(np.int64)


def spec_for(model, optimizer, input_shape=(1, 8, 8), scaling=UNIT, batch_size=BATCH_SIZE, **runtime):
    network = build_network(model, input_shape, 10)
    return EngineSpec(model, network, 10, optimizer, batch_size, scaling, EngineRuntime(**runtime))


def weights_for(spec, seed=3):
    return as_precision(initial_weights(spec.network, seed), spec.runtime.precision)


def trained(spec, data, n_epochs=2, engine=KerasEngine):
    built = engine(spec, weights_for(spec))
    built.place(*data)
    rates = spec.optimizer.lr * (1 + 0.5 * np.sin(np.arange(N_STEPS)))
    results = [
        built.train_steps(np.random.default_rng(number).permutation(len(data[1])), rates) for number in range(n_epochs)
    ]
    return built, results


def assert_same_weights(left, right, **tolerance):
    assert list(left) == list(right)
    for name, array in right.items():
        np.testing.assert_allclose(left[name], array, err_msg=name, **tolerance)


TINY = 1e-14  # so small that it makes no difference whether it is added inside or outside of the square root
STOCK = {
    "sgd": (Sgd(lr=0.2), lambda: keras.optimizers.SGD(0.2)),
    "momentum": (Sgd(lr=0.05, momentum=0.9), lambda: keras.optimizers.SGD(0.05, momentum=0.9)),
    "nesterov": (
        Sgd(lr=0.05, momentum=0.9, nesterov=True),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    ),
    "adam": (Adam(lr=0.01, epsilon=TINY), lambda: keras.optimizers.Adam(0.01, epsilon=TINY)),
    "adamw": (
        AdamW(lr=0.01, weight_decay=0.1, epsilon=TINY),
        lambda: without_biases(keras.optimizers.AdamW(0.01, weight_decay=0.1, epsilon=TINY)),
    ),
    "rmsprop": (RmsProp(lr=0.003, epsilon=TINY), lambda: keras.optimizers.RMSprop(0.003, epsilon=TINY**2)),
}


def without_biases(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # raised by the metrics of Keras
@pytest.mark.parametrize(("optimizer", "stock"), STOCK.values(), ids=STOCK)
def test_the_step_and_the_optimizers_of_keras_give_the_same_weights(optimizer, stock, digits):
    # tanh: a relu whose input changes sign at the last bit would tell rounding from right
    x, y = digits
    spec = spec_for(MlpModel(hidden=(24,), activation="tanh"), optimizer)
    engine = KerasEngine(spec, weights_for(spec))
    engine.place(x, y)
    result = engine.train_steps(np.arange(len(y)), np.full(N_STEPS, optimizer.lr))

    plain = keras.Sequential([keras.Input((64,)), keras.layers.Dense(24, activation="tanh"), keras.layers.Dense(10)])
    kernels = weights_for(spec)
    plain.set_weights([kernels["1.weight"].T, kernels["1.bias"], kernels["3.weight"].T, kernels["3.bias"]])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(optimizer=stock(), loss=loss, metrics=["accuracy"])
    flat = x.reshape(len(x), -1) / np.float32(16)
    history = plain.fit(flat, y, batch_size=BATCH_SIZE, shuffle=False, verbose=0).history

    names = ("1.weight", "1.bias", "3.weight", "3.bias")
    expected = {name: array.T for name, array in zip(names, plain.get_weights(), strict=True)}
    assert_same_weights(engine.weights(), expected, rtol=0, atol=2e-5)
    assert result.loss == pytest.approx(history["loss"][0], rel=1e-5)
    assert result.accuracy == pytest.approx(history["accuracy"][0], abs=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        CnnModel(channels=(4, 6), hidden=16),
        MlpModel(hidden=(24, 12), activation="gelu"),
        MlpModel(hidden=(24,), activation="sigmoid", output="softmax"),
    ],
    ids=["cnn", "gelu", "softmax"],
)
def test_epochs_with_a_changing_learning_rate_agree_with_torch_in_float64(model, digits):
    spec = spec_for(model, RmsProp(lr=0.003, weight_decay=0.01), precision="float64")
    left, left_results = trained(spec, digits)
    right, right_results = trained(spec, digits, engine=TorchEngine)
    for left_result, right_result in zip(left_results, right_results, strict=True):
        assert left_result.loss == pytest.approx(right_result.loss, abs=1e-8)
        assert left_result.accuracy == right_result.accuracy
    assert_same_weights(left.weights(), right.weights(), rtol=0, atol=1e-7)


def torch_twin(engine, *layers):
    module = torch.nn.Sequential(*layers)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in engine.weights().items()})
    return module.eval()


def test_plain_torch_loads_the_weights_of_a_cnn_and_predicts_the_same():
    """Odd sides, three channels and a 5x5 kernel reveal any misplaced axis."""
    spec = spec_for(CnnModel(channels=(4, 6), kernel_size=5, hidden=16), Sgd(), input_shape=(3, 9, 7))
    engine = KerasEngine(spec, weights_for(spec))
    twin = torch_twin(
        engine,
        *(torch.nn.Conv2d(3, 4, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Conv2d(4, 6, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)),
    )
    x = np.random.default_rng(0).integers(0, 17, (20, 3, 9, 7), dtype=np.uint8)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x).float() / 16).numpy()
    np.testing.assert_allclose(engine.predict(x).logits, expected, atol=1e-5)


ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "gelu": torch.nn.GELU}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_equal_those_of_torch(activation, digits):
    x = digits[0][:50]
    spec = spec_for(MlpModel(hidden=(24,), activation=activation), Sgd(), precision="float64")
    engine = KerasEngine(spec, weights_for(spec))
    layers = (torch.nn.Flatten(), torch.nn.Linear(64, 24), ACTIVATIONS[activation](), torch.nn.Linear(24, 10))
    with torch.no_grad():
        expected = torch_twin(engine, *(layer.double() for layer in layers))(torch.from_numpy(x).double() / 16).numpy()
    np.testing.assert_allclose(engine.predict(x).logits, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("engine_class", [KerasEngine, TorchEngine])
def test_a_model_that_ends_in_softmax_learns_from_clipped_probabilities_and_reports_the_true_loss(engine_class, digits):
    x, y = digits
    spec = spec_for(MlpModel(hidden=(24,), output="softmax"), Sgd(lr=0.1), precision="float64", batch_size=len(y))
    sharp = {name: 20 * array for name, array in weights_for(spec).items()}  # some probabilities leave [1e-7, 1 - 1e-7]
    engine = engine_class(spec, sharp)
    engine.place(x, y)
    hidden = np.maximum(x.reshape(len(x), -1) / 16 @ sharp["1.weight"].T + sharp["1.bias"], 0)
    logits = hidden @ sharp["3.weight"].T + sharp["3.bias"]
    p = softmax(logits, axis=1)
    chosen = p[np.arange(len(y)), y]
    is_clipped = (chosen < 1e-7) | (chosen > 1 - 1e-7)
    assert chosen.min() == 0

    scores = engine.predict(x)
    np.testing.assert_allclose(scores.logits, logits, rtol=1e-5)
    np.testing.assert_allclose(scores.probabilities, p, atol=1e-6)
    result = engine.train_steps(np.arange(len(y)), np.array([0.1]))
    assert result.loss == pytest.approx(-log_softmax(logits, axis=1)[np.arange(len(y)), y].mean(), rel=1e-12)

    errors = p - np.eye(10)[y]
    errors[is_clipped] = 0  # no gradient
    expected = sharp["3.weight"] - 0.1 * errors.T @ hidden / len(y)
    np.testing.assert_allclose(engine.weights()["3.weight"], expected, rtol=0, atol=1e-12)


def test_weight_decay_is_not_part_of_the_reported_loss(digits):
    spec = spec_for(MlpModel(hidden=(24,)), Sgd(lr=1e-9), precision="float64")
    decayed = spec_for(MlpModel(hidden=(24,)), Sgd(lr=1e-9, weight_decay=5.0), precision="float64")
    losses = [trained(each, digits, n_epochs=1)[1][0].loss for each in (spec, decayed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_standard_scaling_equals_scaling_the_data_beforehand():
    x, y = load_iris(return_X_y=True)
    shift, scale = x.mean(0), x.std(0)
    model, optimizer = LogisticModel(), Sgd(lr=0.5)
    given = [(x, Scaling("standard", shift, scale)), ((x - shift) / scale, Scaling("none"))]
    weights = []
    for samples, scaling in given:
        spec = spec_for(model, optimizer, (4,), scaling, batch_size=150, precision="float64")
        engine = KerasEngine(spec, None)
        engine.place(samples, y.astype(np.int64))
        engine.train_steps(np.arange(150), np.array([0.5]))
        weights.append(engine.weights())
        assert (engine.predict(samples).labels == y).mean() > 0.6
    assert_same_weights(*weights, rtol=0, atol=1e-12)


def test_engines_of_different_precision_do_not_affect_each_other(digits):
    floatx = keras.config.floatx()
    model, optimizer = MlpModel(hidden=(24,)), Adam(lr=0.01)
    double, single = (spec_for(model, optimizer, precision=name) for name in ("float64", "float32"))
    alone, _ = trained(double, digits)
    left, right = (KerasEngine(spec, weights_for(spec)) for spec in (double, single))
    for number in range(2):
        order = np.random.default_rng(number).permutation(len(digits[1]))
        rates = optimizer.lr * (1 + 0.5 * np.sin(np.arange(N_STEPS)))
        for engine in (left, right):
            if number == 0:
                engine.place(*digits)
            engine.train_steps(order, rates)
    assert_same_weights(left.weights(), alone.weights(), rtol=0, atol=0)
    assert {array.dtype for array in left.weights().values()} == {np.dtype("float64")}
    assert {array.dtype for array in right.weights().values()} == {np.dtype("float32")}
    assert_same_weights(right.weights(), left.weights(), rtol=0, atol=1e-3)
    assert keras.config.floatx() == floatx == "float32"


def test_dropout_depends_only_on_the_seed_of_the_run(digits):
    model, optimizer = MlpModel(hidden=(24, 24), dropout=0.3), Sgd(lr=0.1, momentum=0.9)
    weights = []
    for seed, elsewhere in ((0, 1), (0, 2), (1, 1)):
        spec = spec_for(model, optimizer, seed=seed)
        engine = KerasEngine(spec, weights_for(spec))
        engine.place(*digits)
        torch.manual_seed(elsewhere)
        keras.utils.set_random_seed(elsewhere)
        engine.train_steps(np.arange(len(digits[1])), np.full(N_STEPS, 0.1))
        weights.append(engine.weights())
    assert_same_weights(weights[0], weights[1], rtol=0, atol=0)
    assert not np.allclose(weights[0]["1.weight"], weights[2]["1.weight"], atol=1e-4)


def test_dropout_keeps_the_expected_value_and_drops_the_requested_fraction():
    spec = spec_for(MlpModel(hidden=(2000,), dropout=0.25), Sgd())
    layer = next(layer for layer in KerasEngine(spec, None)._model.layers if isinstance(layer, keras.layers.Dropout))
    ones = torch.ones(50, 2000)
    dropped = layer.call(ones, training=True)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(layer.call(ones, training=False), ones)


def test_without_weights_they_are_drawn_from_the_seed():
    spec = spec_for(MlpModel(hidden=(24,)), Sgd(), seed=11)
    assert_same_weights(KerasEngine(spec, None).weights(), weights_for(spec, seed=11), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("model", "network_model", "optimizer", "message"),
    [
        (EstimatorModel(estimator="SVC"), None, None, "estimator has no layers.*--backend sklearn"),
        (LogisticModel(), LogisticModel(), Lbfgs(), "lbfgs does not train iteratively.*rmsprop"),
        (LogisticModel(), LogisticModel(), None, "needs an optimizer and a batch size"),
    ],
    ids=["estimator", "lbfgs", "no-optimizer"],
)
def test_an_unsupported_specification_is_a_usage_error(model, network_model, optimizer, message):
    network = None if network_model is None else build_network(network_model, (1, 8, 8), 10)
    with pytest.raises(UsageError, match=message):
        KerasEngine(EngineSpec(model, network, 10, optimizer, BATCH_SIZE, UNIT, EngineRuntime()), None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_device_is_a_usage_error(device):
    with pytest.raises(UsageError, match=f"--device {device}: no CUDA device.*auto or cpu"):
        KerasEngine(spec_for(LogisticModel(), Sgd(), device=device), None)


def test_everything_is_computed_on_the_requested_device(digits):
    """The default device of Keras is set to another device, on which tensors have no data."""
    spec = spec_for(MlpModel(hidden=(24,), dropout=0.2), Adam(lr=0.01), device="cpu")
    expected, _ = trained(spec, digits)
    with keras.device("meta"):
        engine, _ = trained(spec, digits)
        scores = engine.predict(digits[0])
    assert engine.device == "cpu"
    assert_same_weights(engine.weights(), expected.weights(), rtol=0, atol=0)
    np.testing.assert_array_equal(scores.logits, expected.predict(digits[0]).logits)


def test_another_backend_of_keras_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match="jax.*\n.*KERAS_BACKEND=torch"):
        keras_package._keras_on_torch()


def test_the_environment_does_not_choose_the_backend():
    code = "from mlcli.engines.keras import keras; print(keras.backend.backend())"
    environment = os.environ | {"KERAS_BACKEND": "numpy"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "torch"
