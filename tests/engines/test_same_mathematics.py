"""In float64 the losses of all engines agree at every step."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from mlcli.config.schema import Adam, AdamW, Lbfgs, LogisticModel, MlpModel, RmsProp, Sgd
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.models.class_weights import balanced_class_weights
from mlcli.models.layers import build_network
from mlcli.models.weights import as_precision, initial_weights
from mlcli.records import Scaling
from mlcli.registry import BACKENDS

N_STEPS = 100
BATCH_SIZE = 48  # does not divide the 1000 samples: the short last batch is part of the test
OPTIMIZERS = {
    "sgd": Sgd(lr=0.3),
    "sgd-decay": Sgd(lr=0.3, weight_decay=0.01),
    "momentum": Sgd(lr=0.1, momentum=0.9),
    "nesterov": Sgd(lr=0.1, momentum=0.9, nesterov=True),
    "adam": Adam(lr=0.01),
    "adam-decay": Adam(lr=0.01, weight_decay=0.01, epsilon=1e-3),
    "adamw": AdamW(lr=0.01, weight_decay=0.1),
    "rmsprop": RmsProp(lr=0.003, epsilon=1e-4),
    "rmsprop-decay": RmsProp(lr=0.003, weight_decay=0.01),
}
MODELS = {
    "mlp": MlpModel(hidden=(24,)),
    "mlp-softmax": MlpModel(hidden=(24,), activation="tanh", output="softmax"),
    "logistic": LogisticModel(),
}


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:1000].astype(np.uint8).reshape(-1, 1, 8, 8), y[:1000].astype(np.int64)


def engine_for(backend, model, optimizer, precision="float64", class_weights=None, batch_size=BATCH_SIZE):
    network = build_network(model, (1, 8, 8), 10)
    scaling, runtime = Scaling("unit", None, 16.0), EngineRuntime(precision=precision)
    spec = EngineSpec(model, network, 10, optimizer, batch_size, scaling, runtime, class_weights)
    return build_engine(backend, spec, as_precision(initial_weights(network, 3), precision))


def step_by_step(engine, lr, x, y):
    """Return the losses of 100 steps with a changing learning rate, one call of train_steps per step."""
    generator = np.random.default_rng(0)
    engine.place(x, y)
    losses = []
    rates = 1 + 0.5 * np.sin(np.arange(N_STEPS))
    n_per_epoch = math.ceil(len(x) / BATCH_SIZE)
    for step in range(N_STEPS):
        if step % n_per_epoch == 0:
            order = generator.permutation(len(x))
        start = step % n_per_epoch * BATCH_SIZE
        batch = order[start : start + BATCH_SIZE]
        losses.append(engine.train_steps(batch, np.array([rates[step] * lr])).loss)
    return np.array(losses)


def run(backend, model, optimizer, digits, class_weights=None):
    engine = engine_for(backend, model, optimizer, class_weights=class_weights)
    return step_by_step(engine, optimizer.lr, *digits), engine.weights()


@pytest.fixture(scope="module")
def run_torch(digits):
    """Run the torch engine; each experiment runs once."""
    return functools.cache(lambda model, optimizer: run("torch", model, optimizer, digits))


def pairs():
    for backend in ("keras", "sklearn"):
        for model_name, model in MODELS.items():
            for name, optimizer in OPTIMIZERS.items():
                if optimizer.name in BACKENDS[backend].optimizers[model.name]:
                    yield pytest.param(backend, model, optimizer, id=f"{backend}-{model_name}-{name}")


@pytest.mark.parametrize(("backend", "model", "optimizer"), list(pairs()))
def test_an_engine_agrees_with_torch_step_by_step(backend, model, optimizer, digits, run_torch):
    expected_losses, expected_weights = run_torch(model, optimizer)
    losses, weights = run(backend, model, optimizer, digits)
    np.testing.assert_allclose(losses, expected_losses, rtol=0, atol=1e-8)
    for name, array in expected_weights.items():
        np.testing.assert_allclose(weights[name], array, rtol=0, atol=1e-7)
    assert losses[-1] < losses[0]


TORCH_CLASSES = {
    "sgd": lambda o, p: torch.optim.SGD(p, o.lr, momentum=o.momentum, nesterov=o.nesterov),
    "adam": lambda o, p: torch.optim.Adam(p, o.lr, (o.beta1, o.beta2), o.epsilon),
    "adamw": lambda o, p: torch.optim.AdamW(p, o.lr, (o.beta1, o.beta2), o.epsilon),
    "rmsprop": lambda o, p: torch.optim.RMSprop(p, o.lr, o.decay, o.epsilon),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_torch_engine_agrees_with_a_hand_written_loop(optimizer, digits, run_torch):
    losses, weights = run_torch(MODELS["mlp"], optimizer)
    reference = _HandWrittenLoop(optimizer)
    np.testing.assert_allclose(losses, step_by_step(reference, optimizer.lr, *digits), rtol=0, atol=1e-10)
    for name, tensor in reference.model.state_dict().items():
        np.testing.assert_allclose(weights[name], tensor.numpy(), rtol=0, atol=1e-9)


class _HandWrittenLoop:
    """A training loop without mlcli: nn.Sequential, torch.optim, and parameter groups for the weight decay."""

    def __init__(self, optimizer, class_weights=(1.0,) * 10):
        self.class_weights = torch.tensor(class_weights, dtype=torch.float64)
        self.model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10)
        ).double()
        initial = initial_weights(build_network(MlpModel(hidden=(24,)), (1, 8, 8), 10), 3)
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()})
        named = dict(self.model.named_parameters())
        groups = [
            {"params": [p for n, p in named.items() if "weight" in n], "weight_decay": optimizer.weight_decay or 0.0},
            {"params": [p for n, p in named.items() if "bias" in n], "weight_decay": 0.0},
        ]
        self.optimizer = TORCH_CLASSES[optimizer.name](optimizer, groups)

    def place(self, x, y):
        self.x, self.y = torch.from_numpy(x).double() / 16, torch.from_numpy(y)

    def train_steps(self, order, learning_rates):
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rates[0]
        self.optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(self.model(self.x[order]), self.y[order], reduction="none")
        (self.class_weights[self.y[order]] * losses).mean().backward()
        self.optimizer.step()
        return type("Result", (), {"loss": losses.mean().item()})


CLASS_WEIGHTS = tuple(np.linspace(0.2, 3.0, 10).tolist())
WEIGHTED = {
    "mlp-adam": ("mlp", "adam", ("sklearn", "keras")),
    "mlp-softmax-adam": ("mlp-softmax", "adam", ("sklearn", "keras")),
    "logistic-momentum": ("logistic", "momentum", ("keras",)),
}


@pytest.mark.parametrize(("model", "optimizer", "backends"), WEIGHTED.values(), ids=WEIGHTED)
def test_with_class_weights_all_engines_agree_step_by_step(model, optimizer, backends, digits, run_torch):
    model, optimizer = MODELS[model], OPTIMIZERS[optimizer]
    expected_losses, expected_weights = run("torch", model, optimizer, digits, CLASS_WEIGHTS)
    for backend in backends:
        losses, weights = run(backend, model, optimizer, digits, CLASS_WEIGHTS)
        np.testing.assert_allclose(losses, expected_losses, rtol=0, atol=1e-8)
        for name, array in expected_weights.items():
            np.testing.assert_allclose(weights[name], array, rtol=0, atol=1e-7)
    assert np.abs(run_torch(model, optimizer)[0] - expected_losses).max() > 1e-3


@pytest.mark.parametrize("backend", ["torch", "keras", "sklearn"])
def test_a_weighted_step_minimises_the_mean_of_weight_times_loss(backend, digits):
    """The sum over a batch is divided by its samples, and the losses that are returned are not weighted."""
    optimizer = OPTIMIZERS["sgd-decay"]
    losses, weights = run(backend, MlpModel(hidden=(24,)), optimizer, digits, CLASS_WEIGHTS)
    reference = _HandWrittenLoop(optimizer, CLASS_WEIGHTS)
    np.testing.assert_allclose(losses, step_by_step(reference, optimizer.lr, *digits), rtol=0, atol=1e-10)
    for name, tensor in reference.model.state_dict().items():
        np.testing.assert_allclose(weights[name], tensor.numpy(), rtol=0, atol=1e-9)


def test_lbfgs_with_class_weights_ends_at_the_minimum_that_the_iterative_engines_seek(digits):
    """It is that of scikit-learn's class_weight="balanced", and no step of steepest descent leaves it."""
    x, y = digits
    rare = (y < 5) | (np.arange(len(y)) % 7 == 0)
    x, y = x[rare], y[rare]
    class_weights, decay = balanced_class_weights(y, 10), 1 / len(y)
    solver = Lbfgs(max_iter=5000, tolerance=1e-9, weight_decay=decay)
    lbfgs = engine_for("sklearn", LogisticModel(), solver, class_weights=class_weights)
    lbfgs.place(x, y)
    assert lbfgs.fit().converged
    fitted = lbfgs.weights()
    by_hand = LogisticRegression(class_weight="balanced", max_iter=5000, tol=1e-9).fit(x.reshape(-1, 64) / 16, y)
    np.testing.assert_allclose(fitted["1.weight"], by_hand.coef_, rtol=0, atol=1e-8)
    for backend in ("torch", "keras"):
        sgd = Sgd(lr=1.0, weight_decay=decay)
        engine = engine_for(backend, LogisticModel(), sgd, class_weights=class_weights, batch_size=len(y))
        engine.load_weights(fitted)
        engine.place(x, y)
        engine.train_steps(np.arange(len(y)), np.array([1.0]))
        for name, array in engine.weights().items():
            np.testing.assert_allclose(array, fitted[name], rtol=0, atol=1e-7)
