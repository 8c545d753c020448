"""The contract every engine keeps. An engine trains and predicts; it does not load data, score, time, print or write.

tests/engines/test_contract.py is this page as executable checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlcli.config.schema import ModelConfig, OptimizerConfig
from mlcli.models.layers import Network
from mlcli.records import EngineState, FitResult, Scaling, Scores, StepResults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Weights = Mapping[str, "NDArray[np.floating]"]


@dataclass(frozen=True)
class EngineRuntime:
    """Where and how an engine computes. device is resolved by the engine where it is "auto"."""

    device: str = "cpu"  # auto, cpu, cuda, cuda:N or mps
    threads: int = 1
    precision: Literal["float32", "float64"] = "float32"
    seed: int = 0
    deterministic: bool = False
    matmul_precision: Literal["tf32", "bf16"] | None = None  # matrix products and convolutions rounded to fewer bits
    compiled: bool = False  # the forward pass, and with it the backward pass, through torch.compile


@dataclass(frozen=True)
class EngineSpec:
    """Everything an engine is built from.

    network is None for `estimator` models, which have no layers; batch_size is None for one-call fits.
    scaling is applied by the engine to every x it is given, in the run's precision.
    """

    model: ModelConfig
    network: Network | None
    n_classes: int
    optimizer: OptimizerConfig | None
    batch_size: int | None
    scaling: Scaling
    runtime: EngineRuntime


class Engine(Protocol):
    """One framework, seen from outside. Built as `Engine(spec, initial_weights)`.

    Construction raises UsageError for a pair it cannot do, and for a device that is not there.
    When a method returns, the device has finished.
    """

    device: str  # the device in use: cpu, cuda:0, mps

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        """Take the training split, once, in its compact dtype, to where the engine computes."""
        ...

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        """A pass over the placed split in exactly this order, or some consecutive steps of one.

        order: int64 (n,), positions in the placed split; batches of batch_size, the last one short.
        learning_rates: float64 (ceil(n / batch_size),), one a step.
        A pass in parts, each but the last of whole batches, leaves the same bits as the pass at once.
        UsageError for an engine that fits in one call.
        """
        ...

    def fit(self) -> FitResult:
        """Fit the placed split in one call. UsageError for an engine that trains in passes."""
        ...

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        """Score samples with dropout off; the same answer for any batch_size within 1e-5; training state untouched."""
        ...

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """The weights in canonical names, orientation and C order; UsageError where there is no such form."""
        ...

    def load_weights(self, weights: Weights) -> None:
        """Replace the weights; UsageError where a name or a shape does not fit."""
        ...

    def state(self) -> EngineState:
        """Optimizer moments, step count and random state: what exact continuation needs beside the weights."""
        ...

    def load_state(self, state: EngineState) -> None:
        """Continue from a state that `state` returned, after `load_weights`."""
        ...

    def estimator_bytes(self) -> bytes | None:
        """The fitted model in skops form where it has no canonical weights, else None."""
        ...

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> Bench:
        """The engine's own forward pass and training step on these samples, for a clock to time.

        include_transfer: samples stay on the host in their compact type, and every batch is brought to the device, cast
        and scaled inside `forward` and `train`; otherwise that is done here, for all of them at once.
        """
        ...


class Bench(Protocol):
    """What a benchmark times: no gathering, scoring or conversion, only what the framework does with a batch.

    When a method returns, the device has finished. What a call costs beside its batches is spread over them by giving
    it enough batches to last block_seconds.
    """

    device: str  # where the batches are computed: cpu, cuda:0, mps
    block_seconds: Mapping[str, float]  # for "forward" and "train": how long a call should take at least

    def tile(self, n_samples: int) -> None:
        """Repeat the samples held until there are n_samples of them."""
        ...

    def batches(self, starts: Sequence[int], batch_size: int) -> Any:
        """Batches of batch_size samples from each of these positions on, as `forward` and `train` take them."""
        ...

    def forward(self, batches: Any) -> None:
        """The outputs of the model for each batch, dropout off, nothing kept for gradients."""
        ...

    def train(self, batches: Any, learning_rate: float) -> None:
        """One training step a batch. UsageError for an engine that fits in one call."""
        ...

    def matrix_product(self, n: int) -> Callable[[], None]:
        """Multiplies two n x n matrices, where and as precisely as the model is computed."""
        ...

    def start_memory_watch(self) -> None:
        """Forget the most device memory that was in use."""
        ...

    def peak_memory_bytes(self) -> int | None:
        """The most device memory in use since; None where samples and weights lie in the memory of the process."""
        ...

    def release_memory(self) -> None:
        """Give back memory that is held for later use, as after an allocation that failed."""
        ...
