"""The engine contract: what every engine must do, and what it must leave to others.

An engine trains and predicts. It does not load data, compute metrics, measure time, print or write files.
tests/engines/test_contract.py checks every statement on this page for every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlcli.config.schema import ModelConfig, OptimizerConfig
from mlcli.errors import UsageError
from mlcli.models.layers import Network
from mlcli.records import EngineState, Scaling, Scores, StepResults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Canonical weights: named, shaped and ordered as `Network.parameter_shapes`, which is the `state_dict` of the
# equivalent `torch.nn.Sequential`.
Weights = Mapping[str, "NDArray[np.floating]"]


@dataclass(frozen=True)
class EngineRuntime:
    """Where and how an engine computes."""

    device: str = "cpu"  # auto, cpu, cuda, cuda:N or mps; the engine resolves auto
    threads: int = 1
    precision: Literal["float32", "float64"] = "float32"  # of weights, samples and arithmetic
    seed: int = 0  # for everything random inside the engine, such as dropout
    deterministic: bool = False  # use only algorithms that repeat exactly on a GPU
    matmul_precision: Literal["tf32", "bf16"] | None = None  # reduced precision of matrix products and convolutions
    samples: Literal["auto", "memory", "mapped"] = (
        "auto"  # mapped: read batches from the file; auto: if memory is short
    )
    compiled: bool = False  # compile the forward and backward pass with torch.compile


@dataclass(frozen=True)
class EngineSpec:
    """Everything an engine is built from, except the initial weights."""

    model: ModelConfig
    network: Network | None  # None for `estimator` models, which have no layers
    n_classes: int
    optimizer: OptimizerConfig | None  # None for `estimator` models, which have their solvers built in
    batch_size: int | None  # None for single fits
    scaling: Scaling  # applied by the engine to all samples that it receives
    runtime: EngineRuntime
    class_weights: tuple[float, ...] | None = None  # by class; see `mlcli.models.class_weights`
    category_mask: tuple[bool, ...] | None = None  # which features are codes; for estimators that take categories


@dataclass(frozen=True)
class FitResult:
    """The outcome of a single fit; None is not known."""

    n_iterations: int | None
    converged: bool | None


class Engine(Protocol):
    """A model in one framework, built as `Engine(spec, initial_weights)`.

    An engine defines either `train_steps`, if it trains iteratively, or `fit`. The methods that have a body here are
    optional.

    Construction raises UsageError, listing what is possible, for a model or an optimizer that the framework lacks
    and for a device that this machine lacks.

    All arrays are numpy arrays. Samples x have the shape (n, *input_shape) and the storage dtype of the dataset (images
    uint8, tables float64), unscaled; the engine scales and casts them and never writes to them. Classes y are int64
    (n,), counted from 0. When a method returns, the device has finished its work.
    """

    device: str  # the device in use: cpu, cuda:0, mps

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        """Store the training split on the device, images in their storage dtype. Called once, before training.

        An engine that trains iteratively may leave samples in a mapped file where they are (see `EngineRuntime`), and
        gather each batch from there; the result is bit-identical. MemoryError for one that needs all samples at once,
        if they do not fit.
        """

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        """Train on exactly these samples in this order: an epoch, or some consecutive steps of one.

        order: int64 (n,), positions in the placed split, cut into batches of batch_size; the last may be shorter.
        learning_rates: float64 (ceil(n / batch_size),), one per step.

        With class weights, a step minimises the mean over its batch of weight times loss; the losses that are returned
        are those without weights.

        An epoch trained by several calls, each but the last with whole batches only, is bit-identical to one trained
        by a single call.
        """
        raise UsageError("this engine trains by a single fit, not iteratively")

    def fit(self) -> FitResult:
        """Fit the model to the placed split."""
        raise UsageError("this engine trains iteratively, not by a single fit")

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        """Return the scores of the samples, computed without dropout.

        They do not depend on batch_size by more than 1e-5 of the largest score. Training continues afterwards as if
        nothing had been predicted.
        """

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """Return a copy of the canonical weights, in C order. UsageError for a model that has none."""
        raise UsageError("this model has no weights in a form that other engines can load")

    def load_weights(self, weights: Weights) -> None:
        """Replace the weights. UsageError for names or shapes that do not fit the model."""
        raise UsageError("this model cannot load weights")

    def native_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return the name and the shape that each weight has in the framework, by canonical name.

        {} for a model without canonical weights.
        """
        return {}

    def parameters(self) -> dict[str, object]:
        """Return the parameters of an estimator by name, as plain values or text; {} for a network."""
        return {}

    def state(self) -> EngineState:
        """Return what bit-identical resuming needs besides the weights: moments, step count, random generators."""
        return EngineState()

    def load_state(self, state: EngineState) -> None:
        """Restore what `state` returned. Called after `load_weights`."""
        return

    def estimator_bytes(self) -> bytes | None:
        """Return the fitted model in skops form if it has no canonical weights, else None."""
        return None

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> Bench:
        """Return the forward pass and the training step of this engine on these samples, ready to be timed.

        include_transfer: whether the measured calls also copy each batch to the device, cast it and scale it. If
        not, this is done here for all samples.
        """


class Bench(Protocol):
    """What a benchmark measures: the work of the framework on a batch, without gathering, metrics or conversion.

    When a method returns, the device has finished its work. Each call has a fixed cost in addition to its batches;
    calls that last block_seconds or longer make it negligible.
    """

    device: str  # the device that computes the batches: cpu, cuda:0, mps
    block_seconds: Mapping[str, float]  # shortest sensible duration of a call, for "forward" and "train"

    def batches(self, starts: Sequence[int], batch_size: int) -> Any:
        """Return one batch of batch_size consecutive samples per start, in the form that the next two methods take."""

    def forward(self, batches: Any) -> None:
        """Compute the outputs of the model for each batch, without dropout and without gradients."""

    def train(self, batches: Any, learning_rate: float) -> None:
        """Take one training step per batch. UsageError for an engine that trains by a single fit."""

    def matrix_product(self, n: int) -> Callable[[], None]:
        """Return a function that multiplies two n x n matrices on the device and in the precision of the model."""

    def start_memory_watch(self) -> None:
        """Start a new measurement of the peak device memory."""

    def peak_memory_bytes(self) -> int | None:
        """Return the peak device memory since `start_memory_watch`; None if the model lives in host memory."""

    def release_memory(self) -> None:
        """Return cached memory to the system, for instance after a failed allocation."""
