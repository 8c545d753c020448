"""Whether weights fit a network: every engine asks before it loads them."""

from __future__ import annotations

from mlcli.engines.contract import Weights
from mlcli.errors import UsageError
from mlcli.models.layers import Network


def check_weights(network: Network, weights: Weights) -> None:
    """UsageError, naming each difference, unless names and shapes are those of `network.parameter_shapes()`."""
    expected = network.parameter_shapes()
    faults = [f"{name} is missing" for name in expected if name not in weights]
    faults += [f"{name} is not a weight of this model" for name in weights if name not in expected]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    if faults:
        raise UsageError(f"the weights do not fit the model {network.kind}: {'; '.join(faults)}")
