"""The summary of a network, compared with a hand-written nn.Sequential."""

from __future__ import annotations

import pytest
import torch

from mlcli.models.layers import build_network
from mlcli.models.summary import summarize
from tests.models.test_layers import WRITTEN_BY_HAND


@pytest.mark.parametrize("name", WRITTEN_BY_HAND)
def test_shapes_and_parameters_are_those_of_the_sequential(name):
    model, input_shape, n_classes, by_hand = WRITTEN_BY_HAND[name]
    rows = summarize(build_network(model, input_shape, n_classes))
    output = torch.zeros(1, *input_shape)
    weights = {}
    for row, module in zip(rows, by_hand, strict=True):
        output = module(output)
        assert row.output_shape == tuple(output.shape[1:])
        assert row.n_parameters == sum(parameter.numel() for parameter in module.parameters())
        weights |= row.weight_shapes
    assert weights == {name: tuple(array.shape) for name, array in by_hand.state_dict().items()}


def test_a_model_without_layers_has_no_summary_of_them():
    assert summarize(None) == ()
