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

from mlcli.config.schema import Adam, AdamW, RmsProp, Sgd


@dataclass
class _Group:
    """Parameters with the same weight decay, and their optimizer state. Each list has one item per parameter."""

    names: list[str]
    parameters: list[Tensor]
    weight_decay: float
    slots: dict[str, list[Tensor]]  # moments by name
    steps: list[Tensor]  # step counts, 0-d float32
    scratch: list[Tensor]  # first moments that the fused Adam writes for RMSprop, never read


class TorchOptimizer:
    """Updates named parameters in place.

    parameters: the parameters in the order in which `step` takes their gradients.
    """

    def __init__(self, config: Sgd | Adam | AdamW | RmsProp, parameters: Mapping[str, Tensor]) -> None:
        """parameters: leaf tensors by canonical weight name; names ending in .bias have no weight decay."""
        self._config = config
        self._slot_names = _slot_names(config)
        decayed = [name for name in parameters if config.weight_decay and not name.endswith(".bias")]
        others = [name for name in parameters if name not in decayed]
        self._groups = [
            self._group({name: parameters[name] for name in names}, weight_decay)
            for names, weight_decay in ((decayed, config.weight_decay), (others, 0.0))
            if names
        ]
        self.parameters = [parameter for group in self._groups for parameter in group.parameters]

    def _group(self, parameters: Mapping[str, Tensor], weight_decay: float) -> _Group:
        tensors = list(parameters.values())
        slots = {slot: [torch.zeros_like(tensor) for tensor in tensors] for slot in self._slot_names}
        is_rmsprop = isinstance(self._config, RmsProp)
        first_step = math.inf if is_rmsprop else 0.0
        steps = [torch.full((), first_step, dtype=torch.float32, device=tensor.device) for tensor in tensors]
        scratch = [torch.zeros_like(tensor) for tensor in tensors] if is_rmsprop else []
        return _Group(list(parameters), tensors, weight_decay, slots, steps, scratch)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Update the parameters once."""
        start = 0
        for group in self._groups:
            stop = start + len(group.parameters)
            self._update(group, list(gradients[start:stop]), lr)
            start = stop

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


def _slot_names(config: Sgd | Adam | AdamW | RmsProp) -> tuple[str, ...]:
    match config:
        case Sgd():
            return ("momentum",) if config.momentum else ()
        case Adam() | AdamW():
            return ("first_moment", "second_moment")
        case RmsProp():
            return ("second_moment",)
