"""scikit-learn's MLPClassifier, trained through `partial_fit` on given batches from given initial weights.

Two private parts of scikit-learn are used, because there is no public way: the logits of its forward pass are recorded
for the loss and the accuracy of each batch, and its optimizers are given the learning rate of each step, and for Adam
the epsilon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax
from sklearn import config_context
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._base import inplace_softmax
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from mlcli.config.schema import Adam, MlpModel, Sgd
from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.sklearn.base import SklearnEngine
from mlcli.errors import UsageError
from mlcli.memory import BYTES_PER_ROW, available_bytes, mapping_of
from mlcli.records import EngineState, Scores, StepResults

_GATHERED_ROWS = 2**13  # of a mapped file at a time
_ATTRIBUTES = ("coefs_", "intercepts_")  # of an MLPClassifier, by layer
_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}
_FORWARD: dict[str, Callable[[Any], Any]] = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": expit}


class _RecordingMlp(MLPClassifier):
    """An MLPClassifier that records the logits of each training batch.

    scikit-learn divides `alpha` by the batch size; setting it for each batch makes the penalty that of the textbook,
    `weight_decay / 2 * ||W||^2`, also for a shorter last batch.
    """

    weight_decay = 0.0

    def start_recording(self) -> None:
        self.batch_logits: list[NDArray[np.floating]] = []

    def _forward_pass(self, activations: list[NDArray[np.floating]]) -> list[NDArray[np.floating]]:
        self.alpha = self.weight_decay * len(activations[0])
        self.out_activation_ = "identity"
        activations = super()._forward_pass(activations)
        self.out_activation_ = "softmax"
        self.batch_logits.append(activations[-1].copy())
        inplace_softmax(activations[-1])
        return activations


class _WeightedMlp(_RecordingMlp):
    """A `_RecordingMlp` that weighs the loss of each sample by its class.

    scikit-learn divides the gradient of a batch by the sum of its weights, and here it is divided by the number of its
    samples, as in the other engines.
    """

    class_weights: NDArray[np.floating]  # (classes,)

    def _backprop(self, X: Any, y: Any, sample_weight: Any, *arrays: Any) -> Any:
        return super()._backprop(X, y, y @ self.class_weights, *arrays)  # y: one-hot, (batch, classes)

    def _compute_loss_grad(self, layer: int, sw_sum: Any, activations: Any, *arrays: Any) -> None:
        super()._compute_loss_grad(layer, len(activations[0]), activations, *arrays)


# In both optimizers, learning_rates is an iterator over those of the next steps; state_arrays names attributes that are
# lists of arrays; state_values maps the names of values in a checkpoint to attributes.


class _ScheduledSgd(SGDOptimizer):
    """SGD with one learning rate per step.

    The velocities of scikit-learn include the learning rate of the step that computed them. They are rescaled when it
    changes, so that the textbook formula holds: `v = momentum * v + g; w -= lr * v`.
    """

    state_arrays = ("velocities",)
    state_values = MappingProxyType({"learning_rate": "learning_rate"})
    learning_rates: Any
    learning_rate: float
    velocities: list[NDArray[np.floating]]

    def _get_updates(self, grads: list[NDArray[np.floating]]) -> list[NDArray[np.floating]]:
        learning_rate = float(next(self.learning_rates))
        if learning_rate != self.learning_rate:
            ratio = learning_rate / self.learning_rate
            self.velocities = [velocity * ratio for velocity in self.velocities]
            self.learning_rate = learning_rate
        return super()._get_updates(grads)


class _ScheduledAdam(AdamOptimizer):
    """Adam with one learning rate per step, and with the epsilon of algorithm 1 in the paper.

    scikit-learn adds epsilon to sqrt(v), before the bias correction; multiplying it by sqrt(1 - beta2^t) is equivalent
    to adding it to sqrt(v_hat).
    """

    state_arrays = ("ms", "vs")
    state_values = MappingProxyType({"step": "t"})
    learning_rates: Any
    paper_epsilon: float

    def _get_updates(self, grads: list[NDArray[np.floating]]) -> list[NDArray[np.floating]]:
        self.learning_rate_init = float(next(self.learning_rates))
        self.epsilon = self.paper_epsilon * float(np.sqrt(1 - self.beta_2 ** (self.t + 1)))
        return super()._get_updates(grads)


class MlpEngine(SklearnEngine):
    """Implements `Engine` on the CPU."""

    # A call of `partial_fit` costs about a millisecond in addition to its steps.
    block_seconds = MappingProxyType({"forward": 2e-3, "train": 0.1})

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None) -> None:
        super().__init__(spec)
        model, optimizer = spec.model, spec.optimizer
        if spec.network is None or spec.batch_size is None or not isinstance(model, MlpModel):
            raise UsageError("scikit-learn's MLPClassifier needs a model mlp and a batch size")
        if not isinstance(optimizer, Sgd | Adam):
            raise UsageError("scikit-learn's MLPClassifier trains with sgd or adam; set optimizer.name to one of them")
        if spec.n_classes < 3:
            raise UsageError(
                "scikit-learn's MLPClassifier has a single logistic output for two classes, which is a different "
                "model; use --backend torch or keras"
            )
        self._network = spec.network
        self._batch_size = spec.batch_size
        self._samples = spec.runtime.samples
        self._activation = model.activation
        self._model = self._new_model(model, spec.class_weights)
        self._model.weight_decay = optimizer.weight_decay or 0.0
        self._optimizer = self._new_optimizer(optimizer)
        if initial_weights is not None:
            self.load_weights(initial_weights)

    def _new_model(self, config: MlpModel, class_weights: tuple[float, ...] | None) -> _RecordingMlp:
        model_class = _RecordingMlp if class_weights is None else _WeightedMlp
        model = model_class(config.hidden, activation=_ACTIVATIONS[config.activation], shuffle=False, solver="sgd")
        if isinstance(model, _WeightedMlp):
            model.class_weights = np.array(class_weights, dtype=self.precision)
        n_features = int(np.prod(self._network.input_shape))
        classes = np.arange(self._network.n_classes)
        model.start_recording()
        # One step on arbitrary samples makes scikit-learn allocate its arrays; the weights are replaced afterwards.
        model.partial_fit(np.zeros((len(classes), n_features), dtype=self.precision), classes, classes=classes)
        return model

    def _new_optimizer(self, config: Sgd | Adam) -> _ScheduledSgd | _ScheduledAdam:
        parameters = self._model.coefs_ + self._model.intercepts_
        if isinstance(config, Sgd):
            return _ScheduledSgd(parameters, lr_schedule="constant", momentum=config.momentum, nesterov=config.nesterov)
        adam = _ScheduledAdam(parameters, beta_1=config.beta1, beta_2=config.beta2, epsilon=config.epsilon)
        adam.paper_epsilon = config.epsilon
        return adam

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        n_bytes = 2 * x.size * np.dtype(self.precision).itemsize  # with a copy in the order of an epoch
        is_large = mapping_of(x) is not None and 2 * n_bytes > available_bytes()
        self._mapped = x if self._samples == "mapped" or (self._samples == "auto" and is_large) else None
        if self._mapped is None:
            super().place(x, y)
        self._y = np.asarray(y)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        y = self._y[order]
        self._model.start_recording()
        if self._mapped is None:
            self._take_finite_steps(self._x[order], y, learning_rates)
        else:
            n_steps = max(1, _GATHERED_ROWS // self._batch_size)
            for first in range(0, len(learning_rates), n_steps):
                rows = slice(first * self._batch_size, (first + n_steps) * self._batch_size)
                x = self.matrix(np.take(self._mapped, order[rows], axis=0))
                self._pages.was_read(self._mapped, len(x) * BYTES_PER_ROW)
                self._take_finite_steps(x, y[rows], learning_rates[first : first + n_steps])
        logits = np.concatenate(self._model.batch_logits, dtype=np.float64)
        self._model.start_recording()
        with np.errstate(invalid="ignore"):  # the loss of infinite logits is NaN
            losses = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
        n_correct = int((logits.argmax(axis=1) == y).sum())
        return StepResults.from_samples(losses, self._batch_size, n_correct)

    def _take_finite_steps(
        self, x: NDArray[np.floating], y: NDArray[np.int64], learning_rates: NDArray[np.float64]
    ) -> None:
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # the loss shows when a run diverges
                self._take_steps(x, y, learning_rates, self._batch_size)
        except ValueError as error:
            # Raised after the last step; non-finite losses and weights are noticed by the caller.
            if "non-finite parameter weights" not in str(error):
                raise

    def _take_steps(
        self, x: NDArray[np.floating], y: NDArray[np.int64], learning_rates: Iterable[float], batch_size: int
    ) -> None:
        self._optimizer.learning_rates = iter(learning_rates)
        self._model._optimizer = self._optimizer
        self._model.set_params(batch_size=min(batch_size, len(y)))
        with config_context(assume_finite=True):  # non-finite values show in the losses, as in every engine
            self._model.partial_fit(x, y)

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        parts = [self.forward(self.matrix(x[start : start + batch_size])) for start in range(0, len(x), batch_size)]
        logits = np.concatenate(parts) if parts else np.empty((0, self._n_classes), dtype=self.precision)
        return Scores(labels=logits.argmax(axis=1), logits=logits, probabilities=softmax(logits, axis=1))

    def forward(self, matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        hidden, activate = matrix, _FORWARD[self._activation]
        for coefficients, intercepts in zip(self._model.coefs_[:-1], self._model.intercepts_[:-1], strict=True):
            hidden = activate(hidden @ coefficients + intercepts)
        return hidden @ self._model.coefs_[-1] + self._model.intercepts_[-1]

    def train_batches(
        self, x: NDArray[np.floating], y: NDArray[np.int64], learning_rate: float, batch_size: int
    ) -> None:
        self._model.start_recording()
        self._take_steps(x, y, [learning_rate] * (len(y) // batch_size), batch_size)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return {name: np.array(array.T, order="C") for name, array in self._parameters()}

    def load_weights(self, weights: Weights) -> None:
        self._network.check_weights(weights)
        for name, array in self._parameters():
            array[...] = np.asarray(weights[name]).T

    def _parameters(self) -> Iterator[tuple[str, NDArray[np.floating]]]:
        """Yield the arrays of the model, in the orientation of scikit-learn, with their canonical names."""
        layers = zip(self._model.coefs_, self._model.intercepts_, strict=True)
        yield from zip(self._network.parameter_shapes(), chain.from_iterable(layers), strict=True)

    def native_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        attributes = (f"{kind}[{index}]" for index in range(len(self._model.coefs_)) for kind in _ATTRIBUTES)
        named = zip(self._parameters(), attributes, strict=True)
        return {name: (attribute, array.shape) for (name, array), attribute in named}

    def state(self) -> EngineState:
        optimizer, arrays = self._optimizer, {}
        for name in optimizer.state_arrays:
            for index, array in enumerate(getattr(optimizer, name)):
                arrays[f"{name}.{index}"] = np.ascontiguousarray(array)
        values = {name: getattr(optimizer, attribute) for name, attribute in optimizer.state_values.items()}
        return EngineState(arrays, values)

    def load_state(self, state: EngineState) -> None:
        optimizer = self._optimizer
        for name in optimizer.state_arrays:
            n_arrays = len(getattr(optimizer, name))
            setattr(optimizer, name, [state.arrays[f"{name}.{index}"].copy() for index in range(n_arrays)])
        for name, attribute in optimizer.state_values.items():
            setattr(optimizer, attribute, state.values[name])
