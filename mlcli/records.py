"""Immutable record types shared between packages.

Arrays are numpy arrays; each field states its shape, dtype and unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DatasetKind = Literal["image", "table"]
ColumnKind = Literal["numeric", "boolean", "date", "categorical"]
DateOrder = Literal["ymd", "dmy", "mdy"]  # of year, month and day
DATE_PARTS, TIME_PART = ("year", "month", "day", "weekday", "days"), "hour"
EncodingForm = Literal["one-hot", "codes"]
RunStatus = Literal["finished", "failed", "diverged", "interrupted", "unfinished"]


@dataclass(frozen=True)
class TableColumn:
    """How the values of one column of a table become features, as fitted on the training rows.

    A number, or a boolean as 0 or 1, is one feature, `fill` where it is missing, and a second feature is 1 where it is
    missing if has_indicator. A text is a feature for each of its categories, of which one is 1, or the one for all
    other texts if has_other. A date is five or six numbers, those of the date `fill` where it is missing, and an
    indicator like that of a number.

    For estimators that take categories, a text is one feature, the position of its category, and missing values stay
    missing: NaN.
    """

    name: str
    kind: ColumnKind
    fill: float | None = (
        None  # the median, of dates in seconds since 1970-01-01; None for texts and where missing values stay
    )
    has_indicator: bool = False
    categories: tuple[str | None, ...] = ()  # None: a missing value
    has_other: bool = False
    date_order: DateOrder | None = None  # of dates in texts
    has_time: bool = False  # whether dates have a feature for the time of day
    is_coded: bool = False  # of texts: the position of the category is the only feature

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        if self.is_coded:
            return (self.name,)
        if self.kind != "categorical":
            parts = (*DATE_PARTS, TIME_PART)[: None if self.has_time else -1]
            numbers = [f"{self.name} ({part})" for part in parts] if self.kind == "date" else [self.name]
            return (*numbers, f"{self.name} (missing)") if self.has_indicator else tuple(numbers)
        names = [f"{self.name} (missing)" if text is None else f"{self.name}={text}" for text in self.categories]
        return (*names, f"{self.name} (other)") if self.has_other else tuple(names)


@dataclass(frozen=True)
class TableEncoding:
    """How the rows of a person's own table become features and classes. Its texts are safe to print."""

    target: str  # the column with the labels
    missing: tuple[str, ...]  # texts that stand for a missing value
    columns: tuple[TableColumn, ...]  # those that are used
    has_header: bool = True  # whether the first line of a text file names the columns

    @property
    def form(self) -> EncodingForm:
        """Whether texts are one-hot and missing numbers filled, or texts are codes and missing values stay missing."""
        has_codes = any(one.is_coded or (one.kind != "categorical" and one.fill is None) for one in self.columns)
        return "codes" if has_codes else "one-hot"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One distinct name per feature, in order."""
        names: dict[str, None] = {}
        for name in (feature for column in self.columns for feature in column.features):
            numbered = (name if number == 1 else f"{name} ({number})" for number in itertools.count(1))
            names[next(one for one in numbered if one not in names)] = None
        return tuple(names)

    @property
    def is_category(self) -> tuple[bool, ...]:
        """Whether each feature stands for a category, or for all of a column; such features are not standardised."""
        return tuple(column.kind == "categorical" for column in self.columns for _ in column.features)


@dataclass(frozen=True)
class ImageDecoding:
    """How image files become pixels, see mlcli/data/own/image_file.py; the shape of a sample says to which size."""

    resize: Literal["bilinear"] = "bilinear"  # of the whole image, without cropping
    orientation: Literal["exif"] = "exif"
    alpha: Literal["ignored"] = "ignored"
    depth: Literal["8 bits"] = "8 bits"


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a dataset: of a known one without reading it, of a person's own from its file."""

    name: str
    kind: DatasetKind
    input_shape: tuple[int, ...]  # one sample: (features,) for tables, (channels, height, width) for images
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]  # empty for images
    n_train: int  # samples that the source offers for training, before any split
    n_test: int  # 0 if the source has no test set
    title: str
    n_validation: int = 0  # 0 if the source has no validation set
    encoding: TableEncoding | None = None  # of a person's own table
    decoding: ImageDecoding | None = None  # of a person's own folder of images
    maximum: float | None = None  # the largest value a feature can take, if that is known beforehand

    @property
    def n_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Split:
    """Samples and their classes."""

    x: NDArray[Any]  # (n, *input_shape), not scaled, in the storage dtype: uint8 for images, float64 for tables
    y: NDArray[np.int64]  # (n,), classes from 0

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Scaling:
    """`(x - shift) / scale`, computed by every engine: tables in float64, images in the precision of the run.

    Fitted on the training split. For images scale is one number (255 for bytes), and shift is None or float64 (): one
    mean and one deviation over all pixels, so that flattened samples are scaled alike; or the smallest of all pixels.
    For tables both are float64 (features,). kind "none" changes nothing.
    """

    kind: Literal["none", "unit", "standard"]
    shift: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | float | None = None

    @property
    def is_per_feature(self) -> bool:
        """Whether features have their own shift and scale, as in tables."""
        return any(getattr(part, "ndim", 0) > 0 for part in (self.shift, self.scale))


@dataclass(frozen=True)
class Preprocessing:
    """What a run expects of a raw sample and does to it. It is enough to predict without the dataset."""

    kind: DatasetKind
    input_shape: tuple[int, ...]  # one sample, as in DatasetInfo
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]  # empty for images
    value_range: tuple[float, float] | None  # of raw values, if bounds are known beforehand (bytes: 0 and 255)
    scaling: Scaling
    encoding: TableEncoding | None = None  # of a person's own table; samples are its features
    decoding: ImageDecoding | None = None  # of a person's own folder of images


@dataclass(frozen=True)
class Dataset:
    """The data of one experiment: split, with a fitted scaling and a fingerprint of the content."""

    info: DatasetInfo
    train: Split
    validation: Split | None
    test: Split
    scaling: Scaling
    fingerprint: str  # sha256 over the content of the whole source, before splitting
    split_digest: str  # sha256 over the indices of the three splits
    notes: tuple[str, ...] = ()  # what the reader of a score must know, e.g. "scored on the training data"
    planning_seconds: float = 0.0  # of reading it, if that was necessary to make a plan


@dataclass(frozen=True)
class StepResults:
    """The results of consecutive training steps, each batch scored before its update."""

    batch_losses: NDArray[np.float64]  # (n_steps,), nats per sample, without weight decay
    batch_sizes: NDArray[np.int64]  # (n_steps,), samples
    n_correct: int

    @classmethod
    def from_batches(cls, losses: NDArray[np.float64], n_samples: int, batch_size: int, n_correct: int) -> StepResults:
        """Return the results of steps over n_samples in batches of batch_size, of which the last may be shorter."""
        import numpy as np

        return cls(losses, np.minimum(batch_size, n_samples - np.arange(0, n_samples, batch_size)), n_correct)

    @classmethod
    def from_samples(cls, losses: NDArray[np.float64], batch_size: int, n_correct: int) -> StepResults:
        """Return the results of steps whose losses are known for each sample, float64 (n,), in training order."""
        import numpy as np

        n_whole = len(losses) // batch_size * batch_size
        means = losses[:n_whole].reshape(-1, batch_size).mean(axis=1)
        if n_whole < len(losses):
            means = np.append(means, losses[n_whole:].mean())
        return cls.from_batches(means, len(losses), batch_size, n_correct)

    @property
    def loss(self) -> float:
        """Mean loss over all samples, in nats."""
        return float((self.batch_losses * self.batch_sizes).sum() / self.batch_sizes.sum())

    @property
    def accuracy(self) -> float:
        return float(self.n_correct / self.batch_sizes.sum())


def epoch_steps(n_samples: int, batch_size: int) -> tuple[int, int]:
    """Return the number of steps of an epoch over n_samples, and the size of its last batch."""
    n_steps = -(-n_samples // batch_size)
    return n_steps, n_samples - (n_steps - 1) * batch_size


@dataclass(frozen=True)
class Scores:
    """The predictions of an engine for n samples, in the precision of the run; those of estimators in float64."""

    labels: NDArray[np.int64]  # (n,), predicted classes
    logits: NDArray[np.floating] | None  # (n, classes), unnormalised log probabilities; None if the model has none
    probabilities: NDArray[np.floating] | None  # (n, classes), rows sum to 1; None if the model has none


@dataclass(frozen=True)
class EngineState:
    """What an engine needs besides its weights so that the resumed training is bit-identical."""

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # plain JSON values


@dataclass(frozen=True)
class Metrics:
    """The scores of one split. Definitions are in `mlcli/metrics`.

    Runs of earlier versions have accuracy and loss alone, and so has the validation split of an unfinished run.
    """

    accuracy: float  # fraction of correct labels
    loss: float | None  # nats per sample; None if the model gives no probabilities
    n_samples: int
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    roc_auc: float | None = None
    pr_auc: float | None = None
    brier_score: float | None = None
    largest_class_accuracy: float | None = None  # of always predicting the largest class of the training split
    undefined: Mapping[str, str] = field(default_factory=dict)  # why a metric does not exist, by its name


@dataclass(frozen=True, slots=True)  # a history may have many
class EpochRecord:
    """One epoch: a row of history.csv. A single fit has one."""

    epoch: int  # from 1
    learning_rate: float | None  # of the last step of the epoch
    train_loss: float | None  # running mean during the epoch, with dropout; of a single fit: after it
    train_accuracy: float | None  # likewise
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float  # of training, without validation
    samples_per_second: float | None  # None for a single fit, which uses each sample once per iteration
    is_best: bool  # whether the validation score is the best so far; false without validation
    monitored: float | None = None  # the metric that early stopping monitors, if not validation loss or accuracy


@dataclass(frozen=True)
class EpochProgress:
    """How far an epoch has come."""

    epoch: int  # from 1
    n_epochs: int
    step: int  # steps of this epoch that are done
    n_steps: int  # of the whole epoch
    loss: float  # mean over the samples of the steps that are done, in nats


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of the parts of a run. The parts do not overlap."""

    load_seconds: float  # data read, verified and split
    build_seconds: float  # framework imported, model built, data placed on the device
    first_epoch_seconds: float  # of training alone; the whole of a single fit
    remaining_epochs_seconds: float  # of training alone
    validate_seconds: float  # validation between epochs
    evaluate_seconds: float  # scores of the test split
    total_seconds: float  # everything, the parts included
    score_train_seconds: float = 0.0  # scores of the training split, after training


@dataclass(frozen=True)
class RunRecord:
    """The record of a run: the content of metrics.json.

    Version 1 of the schema has the running mean during the kept epoch as the "train" metrics of iterative training.
    """

    run_id: str
    name: str
    status: RunStatus
    backend: str
    dataset: str
    model: str
    seed: int
    metrics: Mapping[str, Metrics]  # by split, after training, with the weights that were kept
    timing: Timing | None
    epochs: int | None  # trained; None for a single fit
    best_epoch: int | None  # with the best validation score; None without validation
    samples_per_second: float | None  # training samples over seconds, without the first epoch; None for a single fit
    n_parameters: int | None
    device: str
    threads: int
    peak_memory_bytes: int | None
    notes: tuple[str, ...]
    digests: Mapping[str, str]  # sha256 of config, dataset, split, initial_weights, batch_order, weights
    mlcli_version: str
    created: str  # UTC, ISO 8601
    error: str | None = None
    kept_epoch: int | None = None  # the one after which the weights were as they are stored
    n_train_samples: int | None = None  # in the training split; `metrics` may cover fewer
    median_epoch_seconds: float | None = None  # of training alone, without the first epoch
    schema_version: int = 2


class RunSummary(NamedTuple):
    """What selects, sorts and identifies a run among others."""

    status: RunStatus
    name: str
    backend: str
    dataset: str
    model: str
    created: str  # UTC, ISO 8601
    experiment: str  # digest; empty if the record has none
    accuracy: float | None  # on the test split
    loss: float | None
    seconds: float | None  # in total

    @classmethod
    def of(cls, record: RunRecord) -> RunSummary:
        """Return the summary of a run."""
        test, timing = record.metrics.get("test"), record.timing
        return cls(
            status=record.status,
            name=record.name,
            backend=record.backend,
            dataset=record.dataset,
            model=record.model,
            created=record.created,
            experiment=record.digests.get("experiment", ""),
            accuracy=test.accuracy if test else None,
            loss=test.loss if test else None,
            seconds=timing.total_seconds if timing else None,
        )
