"""The optimizers of the configuration schema on Keras, with the textbook formulas that torch.optim has.

The formulas of Keras differ: the epsilon of RMSprop is inside the square root, the epsilon of Adam is the "epsilon hat"
of Kingma and Ba, the momentum buffer of SGD includes the learning rate, weight decay is decoupled for every optimizer
and acts on biases too, and the learning rate is a float32 variable. Variables and moments are those of Keras; the
arithmetic of a step uses the same multi-tensor operations as the steps of Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlcli.config.schema import Adam, AdamW, RmsProp, Sgd
from mlcli.engines.keras import keras

Tensors = tuple[Tensor, ...]


@dataclass
class StepClock:
    """The step count and the learning rates of the current `fit`.

    Keras calls it to read the learning rate. Plain Python numbers need no synchronisation with the device.
    """

    rates: Sequence[float] = ()  # one per step of the current fit
    n_steps: int = 0  # since the optimizer was built
    n_steps_before: int = 0  # n_steps at the start of the current fit

    def start_fit(self, rates: Sequence[float]) -> None:
        self.rates = rates
        self.n_steps_before = self.n_steps

    def __call__(self) -> float:
        return self.rates[self.n_steps - self.n_steps_before]


class TextbookOptimizer(keras.optimizers.Optimizer):
    """The common part of the four optimizers; each defines `update`, its arithmetic."""

    clock: StepClock
    weight_decay_factor: float  # of kernels, the variables with more than one axis; biases have none

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        self.weights = _tensors(variables)
        self.kernel_positions = tuple(index for index, weight in enumerate(self.weights) if weight.ndim > 1)
        self.denominators = tuple(torch.empty_like(weight) for weight in self.weights)

    def apply(self, grads: Tensors, trainable_variables: Sequence[Any] | None = None) -> None:
        """Take one step. grads: in the order of the variables given to `build`.

        Replaces the method of Keras, which creates device tensors from Python numbers at each step; on a GPU each of
        them makes the host wait.
        """
        with torch.no_grad():
            lr = self.learning_rate
            if self.weight_decay_factor:
                self.decay_weights(grads, lr)
            self.update(grads, lr)
        self.clock.n_steps += 1

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Update the step count of Keras, which calls this at the end of `fit`."""
        super().finalize_variable_values(var_list)
        self.iterations.assign(self.clock.n_steps)

    def decay_weights(self, grads: Tensors, lr: float) -> None:
        """Add the gradient of weight_decay / 2 * ||W||^2 to that of the loss."""
        kernel_grads = [grads[position] for position in self.kernel_positions]
        kernels = [self.weights[position] for position in self.kernel_positions]
        torch._foreach_add_(kernel_grads, kernels, alpha=self.weight_decay_factor)

    def update(self, grads: Tensors, lr: float) -> None:
        raise NotImplementedError

    def step_by_ratio(self, numerators: Tensors, squares: Tensors, root_scale: float, lr: float) -> None:
        """Compute weights -= lr * numerators / (sqrt(squares) / root_scale + epsilon) in place.

        The memory of the denominators is reused: allocating it at each step costs more than the square root.
        """
        for square, denominator in zip(squares, self.denominators, strict=True):
            torch.sqrt(square, out=denominator)
        if root_scale != 1:
            torch._foreach_div_(self.denominators, root_scale)
        torch._foreach_add_(self.denominators, self.epsilon)
        torch._foreach_addcdiv_(self.weights, numerators, self.denominators, -lr)

    def slots(self) -> dict[str, Tensor]:
        """Return the moments by the names of their Keras variables. Copying into these tensors restores a state."""
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


def build_optimizer(config: Sgd | Adam | AdamW | RmsProp) -> TextbookOptimizer:
    """Return the Keras optimizer for a configuration."""
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
    optimizer.clock = clock
    optimizer.weight_decay_factor = config.weight_decay or 0.0
    return optimizer
