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

    parameters: dict[str, Tensor]
    weight_decay: float
    slots: dict[str, list[Tensor]]  # moments and step counts (0-d float32) by name


class TorchOptimizer:
    """Updates named parameters in place.

    parameters: the parameters in the order in which `step` takes their gradients.
    """

    def __init__(self, config: Sgd | Adam | AdamW | RmsProp, parameters: Mapping[str, Tensor]) -> None:
        """parameters: leaf tensors by canonical weight name; names ending in .bias have no weight decay."""
        self._config = config
        decayed = {name: p for name, p in parameters.items() if config.weight_decay and not name.endswith(".bias")}
        others = {name: p for name, p in parameters.items() if name not in decayed}
        self._groups = [
            _Group(members, weight_decay, _new_slots(config, list(members.values())))
            for members, weight_decay in ((decayed, config.weight_decay or 0.0), (others, 0.0))
            if members
        ]
        self.parameters = [parameter for group in self._groups for parameter in group.parameters.values()]

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
                    list(group.parameters.values()),
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
        return {
            f"{slot}.{name}": tensor
            for group in self._groups
            for slot, tensors in group.slots.items()
            # RMSprop reads only its second moments: the others are those of the Adam that computes it.
            if slot == "second_moment" or not isinstance(self._config, RmsProp)
            for name, tensor in zip(group.parameters, tensors, strict=True)
        }


def _new_slots(config: Sgd | Adam | AdamW | RmsProp, parameters: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    moments: tuple[str, ...] = ("first_moment", "second_moment")
    if isinstance(config, Sgd):
        moments = ("momentum",) if config.momentum else ()
    first_step = math.inf if isinstance(config, RmsProp) else 0.0
    steps = [torch.full((), first_step, dtype=torch.float32, device=parameter.device) for parameter in parameters]
    return {slot: [torch.zeros_like(parameter) for parameter in parameters] for slot in moments} | {"step": steps}


def _update_adam(config: Adam | AdamW | RmsProp, group: _Group, gradients: list[Tensor], lr: float) -> None:
    """Take a step of Adam, or of RMSprop as Adam with beta1 = 0 at step infinity, where the bias corrections are 1.

    torch has a fused Adam, which reads and writes memory once, but no fused RMSprop.
    """
    beta1, beta2 = (0.0, config.decay) if isinstance(config, RmsProp) else (config.beta1, config.beta2)
    adam(
        list(group.parameters.values()),
        gradients,
        group.slots["first_moment"],
        group.slots["second_moment"],
        [],
        group.slots["step"],
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
