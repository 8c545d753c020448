"""Networks and operation counts, compared with a hand-written nn.Sequential."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mlcli.config.schema import Adam, CnnModel, EstimatorModel, LogisticModel, MlpModel
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.torch.engine import TorchEngine
from mlcli.errors import UsageError
from mlcli.models.layers import build_network
from mlcli.records import Scaling

WRITTEN_BY_HAND = {
    "logistic": (LogisticModel(), (4,), 3, nn.Sequential(nn.Flatten(), nn.Linear(4, 3))),
    "mlp": (
        MlpModel(hidden=(512,)),
        (1, 28, 28),
        10,
        nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)),
    ),
    "mlp with dropout and softmax": (
        MlpModel(hidden=(20, 30), dropout=0.5, output="softmax"),
        (1, 8, 8),
        10,
        nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(64, 20), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(20, 30), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(30, 10), nn.Softmax(1)),
        ),
    ),
    "cnn": (
        CnnModel(channels=(8, 16), hidden=32, dropout=0.25),
        (1, 28, 28),
        10,
        nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * 7 * 7, 32), nn.ReLU(), nn.Dropout(0.25), nn.Linear(32, 10)),
        ),
    ),
}


@pytest.mark.parametrize(("model", "shape", "n_classes", "by_hand"), WRITTEN_BY_HAND.values(), ids=WRITTEN_BY_HAND)
def test_names_shapes_and_counts_are_those_of_the_sequential(model, shape, n_classes, by_hand):
    network = build_network(model, shape, n_classes)
    expected = {name: tuple(tensor.shape) for name, tensor in by_hand.state_dict().items()}
    assert network.parameter_shapes() == expected
    assert network.n_parameters == sum(tensor.numel() for tensor in by_hand.parameters())


def test_a_cnn_for_tables_is_a_usage_error_that_names_other_models():
    with pytest.raises(UsageError, match="mlp or logistic"):
        build_network(CnnModel(), (4,), 3)


def test_a_cnn_deeper_than_the_image_is_a_usage_error():
    with pytest.raises(UsageError, match="fewer entries in model.channels"):
        build_network(CnnModel(channels=(4, 4, 4, 4)), (1, 8, 8), 10)


def test_an_estimator_has_no_layers():
    with pytest.raises(UsageError, match="sklearn"):
        build_network(EstimatorModel(estimator="SVC"), (4,), 3)


@pytest.mark.parametrize(
    "model",
    [LogisticModel(), MlpModel(hidden=(16, 8), dropout=0.5, output="softmax"), CnnModel(channels=(3, 5), hidden=7)],
)
def test_operation_counts_are_those_of_torch(model):
    network = build_network(model, (1, 9, 8), 10)
    spec = EngineSpec(model, network, 10, Adam(), 4, Scaling("none"), EngineRuntime())
    bench = TorchEngine(spec, None).bench(torch.rand(4, 1, 9, 8).numpy(), torch.arange(4).numpy())
    for count, run in (
        (network.forward_flops(), bench.forward),
        (network.train_flops(), lambda batches: bench.train(batches, 0.1)),
    ):
        with FlopCounterMode(display=False) as counter:
            run(bench.batches([0], 4))
        assert counter.get_total_flops() == 4 * count
