"""The optimizers of the configuration schema on PyTorch, by the functional forms of torch.optim.

The functional forms are faster: the first construction of a `torch.optim.Optimizer` imports torch._dynamo, which takes
about as long as importing torch itself, and each call costs less than `Optimizer.step`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from mlcli.config.schema import Adam, AdamW, OptimizerConfig, RmsProp, Sgd
from mlcli.errors import UsageError
from mlcli.registry import ITERATIVE_OPTIMIZERS, alternatives


@dataclass
class _Group:
    """Parameters with the same weight decay, and their optimizer state. Each list has one item per parameter."""

    names: list[str]
    parameters: list[Tensor]
    positions: list[int]  # in the gradients of a step
    weight_decay: float
    slots: dict[str, list[Tensor]]  # moments by name
    steps: list[Tensor]  # step counts, 0-d float32
    scratch: list[Tensor]  # first moments that the fused Adam writes for RMSprop, never read


class TorchOptimizer:
    """Updates named parameters in place."""

    def __init__(self, config: OptimizerConfig, parameters: Mapping[str, Tensor]) -> None:
        """parameters: leaf tensors by canonical weight name; names ending in .bias have no weight decay."""
        self._config = config
        self._slot_names = _slot_names(config)
        self._groups = self._make_groups(parameters)

    def _make_groups(self, parameters: Mapping[str, Tensor]) -> list[_Group]:
        decay = self._config.weight_decay
        names = list(parameters)
        if not decay:
            return [self._group(names, names, parameters, 0.0)]
        weights = [name for name in names if not name.endswith(".bias")]
        biases = [name for name in names if name.endswith(".bias")]
        return [self._group(weights, names, parameters, decay), self._group(biases, names, parameters, 0.0)]

    def _group(
        self, chosen: Sequence[str], names: Sequence[str], parameters: Mapping[str, Tensor], weight_decay: float
    ) -> _Group:
        tensors = [parameters[name] for name in chosen]
        slots = {slot: [torch.zeros_like(tensor) for tensor in tensors] for slot in self._slot_names}
        is_rmsprop = isinstance(self._config, RmsProp)
        first_step = math.inf if is_rmsprop else 0.0
        steps = [torch.full((), first_step, dtype=torch.float32, device=tensor.device) for tensor in tensors]
        scratch = [torch.zeros_like(tensor) for tensor in tensors] if is_rmsprop else []
        positions = [names.index(name) for name in chosen]
        return _Group(list(chosen), tensors, positions, weight_decay, slots, steps, scratch)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Update the parameters once. gradients: in the order of the parameters given to the constructor."""
        for group in self._groups:
            self._update(group, [gradients[position] for position in group.positions], lr)

    def _update(self, group: _Group, gradients: list[Tensor], lr: float) -> None:
        match self._config:
            case Sgd() as config:
                sgd(
                    group.parameters,
                    gradients,
                    list(group.slots.get("momentum", [None] * len(gradients))),
                    foreach=True,
                    weight_decay=group.weight_decay,
                    momentum=config.momentum,
                    lr=lr,
                    dampening=0.0,
                    nesterov=config.nesterov,
                    maximize=False,
                )
            case Adam() | AdamW() | RmsProp() as config:
                _update_adam(config, group, gradients, lr)

    def slots(self) -> dict[str, Tensor]:
        """Return the moments and step counts by name. Copying into these tensors restores a state."""
        named = {
            f"{slot}.{name}": tensor
            for group in self._groups
            for slot, tensors in group.slots.items()
            for name, tensor in zip(group.names, tensors, strict=True)
        }
        if isinstance(self._config, RmsProp):  # its step count never changes
            return named
        for group in self._groups:
            named |= {f"step.{name}": step for name, step in zip(group.names, group.steps, strict=True)}
        return named


def _update_adam(config: Adam | AdamW | RmsProp, group: _Group, gradients: list[Tensor], lr: float) -> None:
    """Take a step of Adam, or of RMSprop as Adam with beta1 = 0 at step infinity, where the bias corrections are 1.

    torch has a fused Adam, which reads and writes memory once, but no fused RMSprop.
    """
    if isinstance(config, RmsProp):
        first_moments, beta1, beta2 = group.scratch, 0.0, config.decay
    else:
        first_moments, beta1, beta2 = group.slots["first_moment"], config.beta1, config.beta2
    adam(
        group.parameters,
        gradients,
        first_moments,
        group.slots["second_moment"],
        [],
        group.steps,
        fused=True,
        decoupled_weight_decay=isinstance(config, AdamW),
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=lr,
        weight_decay=group.weight_decay,
        eps=config.epsilon,
        maximize=False,
    )


def _slot_names(config: OptimizerConfig) -> tuple[str, ...]:
    match config:
        case Sgd():
            return ("momentum",) if config.momentum else ()
        case Adam() | AdamW():
            return ("first_moment", "second_moment")
        case RmsProp():
            return ("second_moment",)
        case _:
            raise UsageError(
                f"optimizer {config.name} does not train iteratively; use {alternatives(ITERATIVE_OPTIMIZERS)}"
            )
