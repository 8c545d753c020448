"""The Keras engine, on PyTorch: a compiled `keras.Sequential`, trained by `fit` on batches that are on the device."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.keras import keras
from mlcli.engines.keras.model import (
    NetworkModel,
    StepLog,
    SynchronousCallback,
    canonical_tensors,
    from_canonical,
    to_canonical,
)
from mlcli.engines.keras.optimizers import build_optimizer
from mlcli.engines.torch.base import Batch, Batches, LazyBatches, TensorEngine, as_array, copy_into
from mlcli.models.layers import Dropout
from mlcli.models.weights import initial_weights as seeded_weights
from mlcli.records import EngineState, StepResults

# Separates this random stream from the others that use the seed of the run.
_DROPOUT_STREAM = 0xD0


class BatchLoader(DataLoader[int]):
    """Batches for `fit`. Keras uses a DataLoader as it is, without copying, which makes this the cheapest input."""

    def __init__(self, batches: Batches) -> None:
        super().__init__(cast("Dataset[int]", range(len(batches))), batch_size=None)
        self._batches = batches  # iterated several times: Keras reads the first batch in advance

    def __iter__(self) -> Any:  # an iterator of (x, y)
        return iter(self._batches)


class KerasEngine(TensorEngine):
    """Implements `Engine`. Every call of Keras is inside `keras.device`, which decides where it creates tensors."""

    block_seconds = MappingProxyType({"forward": 2e-3, "train": 0.2})  # a `fit` costs two milliseconds and its steps

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None) -> None:
        super().__init__(spec)
        n_dropouts = sum(isinstance(layer, Dropout) for layer in self._network.layers)
        self._generators = _generators(spec.runtime.seed, self.torch_device, n_dropouts)
        with keras.device(self.device):
            self._optimizer = build_optimizer(self._optimizer_config)
            self._model = self._compiled_model(spec.runtime.precision)
            self._weights = canonical_tensors(self._network, self._model)
            self._slots = self._optimizer.slots()
        self._model.in_bf16 = self._in_bf16
        self._model.class_weights = self._class_weights
        if initial_weights is None:
            initial_weights = seeded_weights(self._network, spec.runtime.seed)
        self.load_weights(initial_weights)

    def _compiled_model(self, precision: str) -> NetworkModel:
        model = NetworkModel(self._network, precision, iter(self._generators.values()))
        has_logits = not self._network.ends_in_softmax
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=has_logits, dtype=precision)
        self._optimizer.build(model.trainable_variables)
        model.compile(optimizer=self._optimizer, loss=loss, jit_compile=False)
        return model

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        positions = torch.tensor(order, device=self.torch_device)
        # Gathering each batch when it is needed is faster than gathering all of them first, because the batch is still
        # in the processor's cache when it is cast, and it needs no second copy of the split.
        self._fit(LazyBatches(torch.split(positions, self._batch_size), self._gathered), learning_rates.tolist())
        return self.step_results(torch.cat(self._model.log.logits), self._y.index_select(0, positions))

    def _gathered(self, positions: Tensor) -> Batch:
        return self.gathered(positions), self._y.index_select(0, positions)

    def _fit(self, batches: Batches, learning_rates: Sequence[float]) -> None:
        self._optimizer.clock.start_fit(learning_rates)
        self._model.log = StepLog()
        with keras.device(self.device):
            self._model.fit(BatchLoader(batches), verbose=0, shuffle=False, callbacks=[SynchronousCallback()])

    def logits(self, x: Tensor) -> Tensor:
        with keras.device(self.device):
            return self._model.logits(x, training=False)

    def forward_batches(self, batches: Batches) -> None:
        with torch.inference_mode(), keras.device(self.device):
            for x, _ in batches:
                self._model.call(x, training=False)

    def train_batches(self, batches: Batches, learning_rate: float, batch_size: int) -> None:
        self._fit(batches, [learning_rate] * len(batches))

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return {name: to_canonical(tensor) for name, tensor in self._weights.items()}

    def load_weights(self, weights: Weights) -> None:
        self._network.check_weights(weights)
        for name, tensor in self._weights.items():
            copy_into(tensor, from_canonical(weights[name]))

    def native_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        variables = {id(variable.value): variable.name for variable in self._model.trainable_variables}
        return {name: (variables[id(tensor)], tuple(tensor.shape)) for name, tensor in self._weights.items()}

    def state(self) -> EngineState:
        arrays = {name: as_array(tensor) for name, tensor in self._slots.items()}
        arrays |= {name: as_array(generator.get_state()) for name, generator in self._generators.items()}
        return EngineState(arrays=arrays, values={"n_steps": self._optimizer.clock.n_steps})

    def load_state(self, state: EngineState) -> None:
        for name, tensor in self._slots.items():
            copy_into(tensor, state.arrays[name])
        for name, generator in self._generators.items():
            generator.set_state(torch.tensor(state.arrays[name]))
        self._optimizer.clock.n_steps = state.values["n_steps"]


def _generators(seed: int, device: torch.device, n: int) -> dict[str, torch.Generator]:
    """Return one random generator per dropout layer, by the name of its state."""
    seeds = np.random.SeedSequence([seed, _DROPOUT_STREAM]).generate_state(n)
    return {f"dropout.{index}": torch.Generator(device).manual_seed(int(s)) for index, s in enumerate(seeds)}
