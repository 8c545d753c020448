"""Keras on PyTorch: a `keras.Sequential`, `compile` and one `fit` a pass, fed from the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.keras.backend import keras
from mlcli.engines.keras.batches import GivenBatches, PlacedBatches, Scale
from mlcli.engines.keras.model import (
    NetworkModel,
    OnTrainingThread,
    PassLog,
    canonical_tensors,
    copy_into,
    from_canonical,
    to_canonical,
)
from mlcli.engines.keras.optimizers import build_optimizer
from mlcli.engines.step_results import from_samples
from mlcli.engines.torch.bench import Batch, DeviceWork, TorchBench
from mlcli.engines.torch.device import apply_runtime
from mlcli.engines.weight_check import check_weights
from mlcli.errors import UsageError
from mlcli.models.initial_weights import initial_weights as drawn_weights
from mlcli.models.layers import Dropout
from mlcli.records import EngineState, FitResult, Scores, StepResults

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Separates the random streams that share a run's seed.
_DROPOUT_STREAM = 0xD0


class KerasEngine:
    """See the contract. Every call into Keras stands in `keras.device`, which decides where Keras makes its tensors."""

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None) -> None:
        if spec.network is None:
            raise UsageError(f"model {spec.model.name} does not run on Keras: use --backend sklearn")
        if spec.optimizer is None or spec.batch_size is None:
            raise UsageError("Keras trains in passes: an optimizer and a batch size are needed")
        self._network = spec.network
        self._batch_size = spec.batch_size
        self._device = apply_runtime(spec.runtime)
        self.device = str(self._device)
        self._dtype: torch.dtype = getattr(torch, spec.runtime.precision)
        self._scale = Scale(spec.scaling, self._device, self._dtype)
        n_dropouts = sum(isinstance(layer, Dropout) for layer in spec.network.layers)
        self._generators = _generators(spec.runtime.seed, self._device, n_dropouts)
        with keras.device(self.device):
            self._optimizer = build_optimizer(spec.optimizer)
            self._model = self._compiled_model(spec.runtime.precision)
            self._weights = canonical_tensors(spec.network, self._model)
            self._slots = self._optimizer.slots()
        self._model.in_bf16 = spec.runtime.matmul_precision == "bf16"
        self.load_weights(
            drawn_weights(spec.network, spec.runtime.seed) if initial_weights is None else initial_weights
        )

    def _compiled_model(self, precision: str) -> NetworkModel:
        model = NetworkModel(self._network, precision, iter(self._generators.values()))
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=not self._network.ends_in_softmax, dtype=precision
        )
        self._optimizer.build(model.trainable_variables)
        model.compile(optimizer=self._optimizer, loss=loss, jit_compile=False)
        return model

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._x = torch.tensor(x, device=self._device)
        self._y = torch.tensor(y, device=self._device)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        batches = torch.split(torch.tensor(order, device=self._device), self._batch_size)
        self._fit(PlacedBatches(self._x, self._y, batches, self._scale), learning_rates.tolist())
        log = self._model.log
        losses = torch.cat(log.losses).double().cpu().numpy()
        return from_samples(losses, int(torch.cat(log.hits).sum()), self._batch_size)

    def _fit(self, batches: DataLoader[int], learning_rates: Sequence[float]) -> None:
        self._optimizer.clock.start_pass(learning_rates)
        self._model.log = PassLog()
        with keras.device(self.device):
            self._model.fit(batches, verbose=0, shuffle=False, callbacks=[OnTrainingThread()])

    def fit(self) -> FitResult:
        raise UsageError("Keras trains in passes, not in one call")

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        body = self._model.layers[:-1] if self._network.ends_in_softmax else self._model.layers
        with torch.inference_mode(), keras.device(self.device):
            batches = torch.split(torch.tensor(x, device=self._device), batch_size)
            logits = torch.cat([self._model.through(body, self._scale(batch), training=False) for batch in batches])
            return Scores(
                labels=logits.argmax(dim=1).cpu().numpy(),
                logits=logits.float().cpu().numpy(),
                probabilities=logits.softmax(dim=1).float().cpu().numpy(),
            )

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> TorchBench:
        # A call of `fit` costs about two milliseconds beside its steps.
        blocks = {"forward": 2e-3, "train": 0.2}
        product_dtype = torch.bfloat16 if self._model.in_bf16 else self._dtype
        work = DeviceWork(self._ready, self._forward_batches, self._train_batches, blocks, self._device, product_dtype)
        return TorchBench(work, torch.tensor(x), torch.tensor(y), include_transfer=include_transfer)

    def _ready(self, x: Tensor, y: Tensor) -> Batch:
        return self._scale(x.to(self._device)), y.to(self._device)

    def _forward_batches(self, batches: Iterable[Batch]) -> None:
        with torch.inference_mode(), keras.device(self.device):
            for x, _ in batches:
                self._model.call(x, training=False)

    def _train_batches(
        self, batches: Iterable[Batch], learning_rate: float, *, n_batches: int, batch_size: int
    ) -> None:
        self._fit(GivenBatches(batches, n_batches), [learning_rate] * n_batches)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return {name: to_canonical(tensor) for name, tensor in self._weights.items()}

    def load_weights(self, weights: Weights) -> None:
        check_weights(self._network, weights)
        for name, tensor in self._weights.items():
            copy_into(tensor, from_canonical(weights[name]))

    def state(self) -> EngineState:
        arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._slots.items()}
        arrays |= {name: generator.get_state().numpy().copy() for name, generator in self._generators.items()}
        return EngineState(arrays=arrays, values={"n_steps": self._optimizer.clock.n_steps})

    def load_state(self, state: EngineState) -> None:
        for name, tensor in self._slots.items():
            copy_into(tensor, state.arrays[name])
        for name, generator in self._generators.items():
            generator.set_state(torch.tensor(state.arrays[name]))
        self._optimizer.clock.n_steps = state.values["n_steps"]

    def estimator_bytes(self) -> None:
        return None


def _generators(seed: int, device: torch.device, n: int) -> dict[str, torch.Generator]:
    """One random generator for each dropout layer, by the name of its state."""
    seeds = np.random.SeedSequence([seed, _DROPOUT_STREAM]).generate_state(n)
    return {f"dropout.{index}": torch.Generator(device).manual_seed(int(s)) for index, s in enumerate(seeds)}
