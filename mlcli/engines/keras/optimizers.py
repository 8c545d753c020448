"""Keras's optimizers with the textbook forms of the schema, which are those of torch.optim.

What Keras computes otherwise: RMSprop's epsilon stands inside the square root; Adam's epsilon is the "epsilon hat"
of Kingma and Ba; SGD's momentum buffer holds the learning rate; weight decay is decoupled for every optimizer and
acts on biases too; the learning rate is a float32 variable. The variables, their slots and the saving of both are
Keras's own; the arithmetic of a step is written with the multi-tensor operations that Keras's own steps use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlcli.config.schema import Adam, AdamW, OptimizerConfig, RmsProp, Sgd
from mlcli.engines.keras.backend import keras
from mlcli.errors import UsageError

Tensors = tuple[Tensor, ...]


@dataclass
class StepClock:
    """Steps taken, and the learning rates of the pass at hand, one a step.

    Keras calls it whenever it wants the learning rate. Plain Python numbers: reading them makes no device wait.
    """

    rates: Sequence[float] = ()
    n_steps: int = 0
    n_steps_before: int = 0  # taken before the pass at hand

    def start_pass(self, rates: Sequence[float]) -> None:
        self.rates = rates
        self.n_steps_before = self.n_steps

    def __call__(self) -> float:
        return self.rates[self.n_steps - self.n_steps_before]


class TextbookOptimizer(keras.optimizers.Optimizer):
    """What the four have in common; each adds `update`, its arithmetic."""

    clock: StepClock
    weight_decay_factor: float  # on kernels, the variables with more than one axis; never on biases

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        self.weights = _tensors(variables)
        self.kernel_positions = tuple(index for index, weight in enumerate(self.weights) if weight.ndim > 1)
        self.denominators = tuple(torch.empty_like(weight) for weight in self.weights)

    def apply(self, grads: Tensors, trainable_variables: Sequence[Any] | None = None) -> None:
        """One step. grads: in the order of the variables that the optimizer was built for.

        Keras's own `apply` makes device tensors of Python numbers at each step, and on a GPU every one of them makes
        the host wait.
        """
        with torch.no_grad():
            lr = self.learning_rate
            if self.weight_decay_factor:
                self.decay_weights(grads, lr)
            self.update(grads, lr)
        self.clock.n_steps += 1

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Keras calls this at the end of `fit`: its own count of the steps catches up."""
        super().finalize_variable_values(var_list)
        self.iterations.assign(self.clock.n_steps)

    def decay_weights(self, grads: Tensors, lr: float) -> None:
        """The gradient of weight_decay / 2 * ||W||^2 is added to that of the loss."""
        kernel_grads = [grads[position] for position in self.kernel_positions]
        kernels = [self.weights[position] for position in self.kernel_positions]
        torch._foreach_add_(kernel_grads, kernels, alpha=self.weight_decay_factor)

    def update(self, grads: Tensors, lr: float) -> None:
        raise NotImplementedError

    def step_by_ratio(self, numerators: Tensors, squares: Tensors, root_scale: float, lr: float) -> None:
        """weights -= lr * numerators / (sqrt(squares) / root_scale + epsilon), in place.

        The denominators are kept from step to step: fresh memory of that size costs more than the square root.
        """
        for square, denominator in zip(squares, self.denominators, strict=True):
            torch.sqrt(square, out=denominator)
        if root_scale != 1:
            torch._foreach_div_(self.denominators, root_scale)
        torch._foreach_add_(self.denominators, self.epsilon)
        torch._foreach_addcdiv_(self.weights, numerators, self.denominators, -lr)

    def slots(self) -> dict[str, Tensor]:
        """The moments by the names of their Keras variables: the tensors themselves."""
        return {variable.name: variable.value for variable in self.variables if variable is not self.iterations}


class TextbookSgd(TextbookOptimizer, keras.optimizers.SGD):
    """v = momentum * v + g; w -= lr * v, or with nesterov w -= lr * (g + momentum * v)."""

    def update(self, grads: Tensors, lr: float) -> None:
        if not self.momentum:
            torch._foreach_add_(self.weights, grads, alpha=-lr)
            return
        velocities = _tensors(self.momentums)
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, grads)
        if self.nesterov:
            torch._foreach_add_(self.weights, grads, alpha=-lr)
        torch._foreach_add_(self.weights, velocities, alpha=-lr * (self.momentum if self.nesterov else 1))


class TextbookRmsProp(TextbookOptimizer, keras.optimizers.RMSprop):
    """v = decay * v + (1 - decay) * g^2; w -= lr * g / (sqrt(v) + epsilon)."""

    def update(self, grads: Tensors, lr: float) -> None:
        averages = _tensors(self._velocities)
        torch._foreach_mul_(averages, self.rho)
        torch._foreach_addcmul_(averages, grads, grads, 1 - self.rho)
        self.step_by_ratio(grads, averages, 1.0, lr)


class TextbookAdam(TextbookOptimizer, keras.optimizers.Adam):
    """Algorithm 1 of Kingma and Ba: w -= lr * m_hat / (sqrt(v_hat) + epsilon)."""

    def update(self, grads: Tensors, lr: float) -> None:
        first = _tensors(self._momentums)
        second = _tensors(self._velocities)
        torch._foreach_lerp_(first, grads, 1 - self.beta_1)
        torch._foreach_mul_(second, self.beta_2)
        torch._foreach_addcmul_(second, grads, grads, 1 - self.beta_2)
        step = self.clock.n_steps + 1
        first_correction, second_correction = 1 - self.beta_1**step, 1 - self.beta_2**step
        self.step_by_ratio(first, second, second_correction**0.5, lr / first_correction)


class TextbookAdamW(TextbookAdam, keras.optimizers.AdamW):
    """Adam with decoupled weight decay: w -= lr * weight_decay * w before Adam's step."""

    def decay_weights(self, grads: Tensors, lr: float) -> None:
        kernels = [self.weights[position] for position in self.kernel_positions]
        torch._foreach_mul_(kernels, 1 - lr * self.weight_decay_factor)


def _tensors(variables: Sequence[Any]) -> Tensors:
    return tuple(variable.value for variable in variables)


def build_optimizer(config: OptimizerConfig) -> TextbookOptimizer:
    """The Keras optimizer for a configuration; UsageError for one that does not train in passes."""
    clock = StepClock()
    match config:
        case Sgd():
            optimizer = TextbookSgd(clock, momentum=config.momentum, nesterov=config.nesterov)
        case Adam():
            optimizer = TextbookAdam(clock, config.beta1, config.beta2, config.epsilon)
        case AdamW():
            optimizer = TextbookAdamW(clock, config.weight_decay, config.beta1, config.beta2, config.epsilon)
        case RmsProp():
            optimizer = TextbookRmsProp(clock, rho=config.decay, epsilon=config.epsilon)
        case _:
            raise UsageError(f"optimizer {config.name} does not train in passes; choose sgd, adam, adamw or rmsprop")
    optimizer.clock = clock
    optimizer.weight_decay_factor = config.weight_decay
    return optimizer
