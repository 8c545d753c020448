"""In float64 the losses of all engines agree at every step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from mlcli.config.schema import Adam, AdamW, LogisticModel, MlpModel, RmsProp, Sgd
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
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


def engine_for(backend, model, optimizer, precision="float64"):
    network = build_network(model, (1, 8, 8), 10)
    spec = EngineSpec(
        model, network, 10, optimizer, BATCH_SIZE, Scaling("unit", None, 16.0), EngineRuntime(precision=precision)
    )
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


def run(backend, model, optimizer, digits):
    engine = engine_for(backend, model, optimizer)
    return step_by_step(engine, optimizer.lr, *digits), engine.weights()


def pairs():
    for backend in ("keras", "sklearn"):
        for model_name, model in MODELS.items():
            for name, optimizer in OPTIMIZERS.items():
                if optimizer.name in BACKENDS[backend].optimizers[model.name]:
                    yield pytest.param(backend, model, optimizer, id=f"{backend}-{model_name}-{name}")


@pytest.mark.parametrize(("backend", "model", "optimizer"), list(pairs()))
def test_an_engine_agrees_with_torch_step_by_step(backend, model, optimizer, digits):
    expected_losses, expected_weights = run("torch", model, optimizer, digits)
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
def test_the_torch_engine_agrees_with_a_hand_written_loop(optimizer, digits):
    losses, weights = run("torch", MlpModel(hidden=(24,)), optimizer, digits)
    reference = _HandWrittenLoop(optimizer)
    np.testing.assert_allclose(losses, step_by_step(reference, optimizer.lr, *digits), rtol=0, atol=1e-10)
    for name, tensor in reference.model.state_dict().items():
        np.testing.assert_allclose(weights[name], tensor.numpy(), rtol=0, atol=1e-9)


class _HandWrittenLoop:
    """A training loop without mlcli: nn.Sequential, torch.optim, and parameter groups for the weight decay."""

    def __init__(self, optimizer):
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
        loss = torch.nn.functional.cross_entropy(self.model(self.x[order]), self.y[order])
        loss.backward()
        self.optimizer.step()
        return type("Result", (), {"loss": loss.item()})
