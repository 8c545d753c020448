"""Counted operations against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mlcli.config.schema import Adam, CnnModel, LogisticModel, MlpModel
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.torch.engine import TorchEngine
from mlcli.models.layers import build_network
from mlcli.models.operations import forward_flops, train_flops
from mlcli.records import Scaling


@pytest.mark.parametrize(
    "model",
    [LogisticModel(), MlpModel(hidden=(16, 8), dropout=0.5, output="softmax"), CnnModel(channels=(3, 5), hidden=7)],
)
def test_the_count_is_that_of_torch(model):
    network = build_network(model, (1, 9, 8), 10)
    spec = EngineSpec(model, network, 10, Adam(), 4, Scaling("none"), EngineRuntime())
    bench = TorchEngine(spec, None).bench(torch.rand(4, 1, 9, 8).numpy(), torch.arange(4).numpy())
    for count, run in (
        (forward_flops, bench.forward),
        (train_flops, lambda batches: bench.train(batches, 0.1)),
    ):
        with FlopCounterMode(display=False) as counter:
            run(bench.batches([0], 4))
        assert counter.get_total_flops() == 4 * count(network)
