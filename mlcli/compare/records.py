"""The nouns of a comparison: runs grouped into variants, variants held against each other, what it all took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlcli.compare.statistics.accuracy import AccuracyDifference
from mlcli.compare.statistics.intervals import MeanInterval
from mlcli.compare.statistics.times import TimeRatio
from mlcli.compare.statistics.verdicts import Verdict
from mlcli.records import EpochRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPARISON_SCHEMA_VERSION = 1

ReceiptPart = Literal["data", "model", "training", "machine", "code"]

# What is measured of a run, by name. Shares, nats per sample, seconds, samples a second, bytes and counts.
FIGURES = (
    "accuracy",
    "loss",
    "fit_seconds",
    "first_epoch_seconds",
    "steady_epoch_seconds",
    "samples_per_second",
    "predict_seconds_per_sample",
    "total_seconds",
    "peak_memory_bytes",
    "n_parameters",
)


@dataclass(frozen=True)
class MeasuredRun:
    """A finished run: its figures by the names in FIGURES, and on which test samples it was right."""

    run_id: str
    directory: str
    seed: int
    figures: Mapping[str, float | None]
    correct: NDArray[np.bool_]  # (n_test,)
    test_digest: str  # of the content and labels of the test samples; runs that share it can be paired sample by sample
    history: tuple[EpochRecord, ...] = ()
    notes: tuple[str, ...] = ()
    is_reused: bool = False


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and why."""

    seed: int
    reason: str


@dataclass(frozen=True)
class Variant:
    """What is compared: the runs of one configuration with different seeds.

    settings: what tells it from the other variants, by dotted key. runs: at most one a seed, in order of seeds.
    """

    label: str
    settings: Mapping[str, str]
    runs: tuple[MeasuredRun, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)


@dataclass(frozen=True)
class Pair:
    """A variant held against another one, the reference, over the seeds that both have.

    accuracy: variant minus reference; None where they have no seed in common or were not scored on the same samples.
    time: fit seconds, variant over reference; None where they have no seed in common. mcnemar_p: with one seed in
    common, of the two models being equally right.
    """

    variant: str
    reference: str
    seeds: tuple[int, ...]
    accuracy: AccuracyDifference | None
    accuracy_verdict: Verdict | None
    time: TimeRatio | None
    time_verdict: Verdict | None
    mcnemar_p: float | None = None


@dataclass(frozen=True)
class MatrixCost:
    """What the cells of a matrix took in this call. contended: cells ran side by side, so their times mean little.

    cells_seconds: the cells' own times; starting_seconds: from the start of their processes to the start of their
    clocks, and from the end of these to the end of the processes.
    """

    n_cells: int
    n_run: int
    n_reused: int
    n_failed: int
    wall_seconds: float
    cells_seconds: float
    starting_seconds: float
    contended: bool = False


@dataclass(frozen=True)
class PlannedCell:
    """A cell before it runs. seconds: what it will take, by runs that are there; None where none tells."""

    label: str
    seed: int
    state: Literal["finished", "failed", "cannot run", "to run"]
    seconds: float | None
    reason: str | None = None


@dataclass(frozen=True)
class ReceiptRow:
    """One thing that two runs may have in common. values: one a run, in words; None where a run has no such thing."""

    part: ReceiptPart
    what: str
    values: tuple[str | None, ...]

    @property
    def is_equal(self) -> bool:
        return len(set(self.values)) == 1


@dataclass(frozen=True)
class Receipt:
    """What was held equal between runs, and what differed."""

    run_ids: tuple[str, ...]
    rows: tuple[ReceiptRow, ...]

    @property
    def different(self) -> tuple[ReceiptRow, ...]:
        return tuple(row for row in self.rows if not row.is_equal)


@dataclass(frozen=True)
class Comparison:
    """Variants, the reference first where it was chosen, and every two of them held against each other."""

    name: str
    dataset: str
    variants: tuple[Variant, ...]
    means: Mapping[str, Mapping[str, MeanInterval | None]]  # by label and figure
    reference: str | None  # the label; None where no variant has a finished run
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    receipt: Receipt | None = None  # a column a variant; None with fewer than two of them
    cost: MatrixCost | None = None  # None where the runs were there already

    def pair(self, variant: str, reference: str) -> Pair | None:
        """The comparison of these two, in this direction, or None."""
        return next((pair for pair in self.pairs if (pair.variant, pair.reference) == (variant, reference)), None)
