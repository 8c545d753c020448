"""The nouns: frozen records that the rooms hand to one another.

Arrays are numpy arrays; the shapes, dtypes and units stand beside each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRICS_SCHEMA_VERSION = 1

DatasetKind = Literal["image", "table"]
RunStatus = Literal["finished", "failed", "diverged", "interrupted", "unfinished"]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset without reading it."""

    name: str
    kind: DatasetKind
    input_shape: tuple[int, ...]  # one sample: (features,) for tables, (channels, height, width) for images
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]  # empty for images
    n_train: int  # samples that the source offers for training, before any split
    n_test: int  # 0 where the source has no test set of its own
    title: str

    @property
    def n_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Split:
    """Samples and their classes.

    x: (n, *input_shape) in the source's compact dtype (images uint8, tables float32), not scaled.
    y: int64 (n,), classes from 0.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Scaling:
    """`(x - shift) / scale`, computed in the run's precision by every engine, after the cast from the compact dtype.

    For images scale is one number (255 for bytes) and shift None or, standardised, float64 (): one mean and one
    deviation over all pixels, so that flattened samples are scaled alike. For tables both are float64 (features,).
    Fitted on the training split. kind "none" leaves the values as they are.
    """

    kind: Literal["none", "unit", "standard"]
    shift: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | float | None = None


@dataclass(frozen=True)
class Preprocessing:
    """What a run expects of a raw sample and does to it: enough to predict without the dataset."""

    kind: DatasetKind
    input_shape: tuple[int, ...]  # one sample, as in DatasetInfo
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]  # empty for images
    value_range: tuple[float, float] | None  # of raw values, where bounds are known beforehand (bytes: 0 and 255)
    scaling: Scaling


@dataclass(frozen=True)
class Dataset:
    """A dataset as one experiment sees it: split, with the scaling fitted and a fingerprint of the content."""

    info: DatasetInfo
    train: Split
    validation: Split | None
    test: Split
    scaling: Scaling
    fingerprint: str  # sha256 over the content of the whole source, before splitting
    split_digest: str  # sha256 over the indices of the three splits
    notes: tuple[str, ...] = ()  # what the reader of a score must know, e.g. "scored on the training data"


@dataclass(frozen=True)
class StepResults:
    """Consecutive steps of a pass over the training split, each batch as the engine saw it before its update.

    batch_losses: float64 (n_steps,), nats per sample, without weight decay. batch_sizes: int64 (n_steps,), samples.
    """

    batch_losses: NDArray[np.float64]
    batch_sizes: NDArray[np.int64]
    n_correct: int

    @property
    def loss(self) -> float:
        """Nats per sample over all steps."""
        return float((self.batch_losses * self.batch_sizes).sum() / self.batch_sizes.sum())

    @property
    def accuracy(self) -> float:
        return float(self.n_correct / self.batch_sizes.sum())


@dataclass(frozen=True)
class FitResult:
    """One call that fitted everything: iterations used, and whether the solver converged (None: not known)."""

    n_iterations: int | None
    converged: bool | None


@dataclass(frozen=True)
class Scores:
    """What an engine says of n samples.

    logits: float32 (n, classes), unnormalised log probabilities; None where the model has none.
    probabilities: float32 (n, classes), rows sum to 1; None where the model has none.
    labels: int64 (n,), the predicted classes.
    """

    labels: NDArray[np.int64]
    logits: NDArray[np.float32] | None
    probabilities: NDArray[np.float32] | None


@dataclass(frozen=True)
class EngineState:
    """Everything beside the weights that exact continuation needs."""

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # plain JSON values


@dataclass(frozen=True)
class Metrics:
    """Scores of one split. loss: nats per sample, None where the model gives no probabilities."""

    accuracy: float
    loss: float | None
    n_samples: int


@dataclass(frozen=True)
class EpochRecord:
    """One row of the history."""

    epoch: int  # from 1
    learning_rate: float | None  # of the last step of the epoch
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float  # the training pass alone
    samples_per_second: float
    is_best: bool


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of the named parts of a run. The parts do not overlap; the total holds them all.

    load: data read, verified, split. build: framework imported, model built, data placed. first_epoch and
    remaining_epochs: training passes alone (first_epoch: the one call of fits that have no passes). validate:
    scoring validation data between epochs. evaluate: scoring the test split.
    """

    load_seconds: float
    build_seconds: float
    first_epoch_seconds: float
    remaining_epochs_seconds: float
    validate_seconds: float
    evaluate_seconds: float
    total_seconds: float


@dataclass(frozen=True)
class RunRecord:
    """What a run leaves behind in metrics.json."""

    run_id: str
    name: str
    status: RunStatus
    backend: str
    dataset: str
    model: str
    seed: int
    metrics: Mapping[str, Metrics]  # by split name; "train" as seen while training, in the epoch that was kept
    timing: Timing | None
    epochs: int | None  # passes made; None for one-call fits
    best_epoch: int | None
    samples_per_second: float | None  # training samples over the seconds of steady epochs
    n_parameters: int | None
    device: str
    threads: int
    peak_memory_bytes: int | None
    notes: tuple[str, ...]
    digests: Mapping[str, str]  # sha256 of config, dataset, split, initial_weights, batch_order, weights
    mlcli_version: str
    created: str  # UTC, ISO 8601
    error: str | None = None
    schema_version: int = METRICS_SCHEMA_VERSION
