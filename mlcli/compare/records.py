"""The records of a comparison: measured runs, variants, pairs of variants, and the cost of running them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlcli.compare.draws import Draw, draw_of
from mlcli.experiment.session import Session
from mlcli.records import EpochRecord, Preprocessing, RunRecord
from mlcli.registry import DEFAULT_METRIC, METRICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlcli.compare.statistics.accuracy import AccuracyDifference
    from mlcli.compare.statistics.folds import FoldsDifference
    from mlcli.compare.statistics.intervals import MeanInterval
    from mlcli.compare.statistics.scores import ScoreDifference
    from mlcli.compare.statistics.times import TimeRatio
    from mlcli.compare.statistics.verdicts import Verdict
    from mlcli.config.schema import ExperimentConfig

# Version 2: a verdict reads "inconclusive" where version 1 had "too few".
# Version 3: n of a variant is n_runs.
COMPARISON_SCHEMA_VERSION = 3

CellState = Literal["finished", "failed", "cannot run", "to run"]
ReceiptPart = Literal["data", "model", "training", "machine", "code"]

# The measurements of a run: metrics of the test split, times in seconds, memory in bytes. New ones come last.
MEASUREMENTS = (
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
    *(name for name in METRICS if name not in ("accuracy", "loss")),
)


@dataclass(frozen=True)
class RunFacts:
    """The files of a finished run from which a comparability report is made."""

    record: RunRecord
    config: ExperimentConfig
    preprocessing: Preprocessing
    environment: Mapping[str, Any]  # the content of environment.json


@dataclass(frozen=True)
class SampleValues:
    """The pseudo-value of each test sample for a metric, whose mean is the metric (see statistics/scores.py)."""

    values: NDArray[np.float64]  # (n_test,)
    y: NDArray[np.int64]  # (n_test,)


@dataclass(frozen=True)
class MeasuredRun:
    """A finished run with its measurements, and whether it was right on each test sample."""

    facts: RunFacts
    directory: str
    measurements: Mapping[str, float | None]  # by the names in MEASUREMENTS
    correct: NDArray[np.bool_]  # (n_test,)
    test_digest: str  # of the data and the test samples; runs with equal digests are paired sample by sample
    history: tuple[EpochRecord, ...] = ()
    is_reused: bool = False
    samples: SampleValues | None = None  # of the metric by which the run is judged, if that is not accuracy

    @property
    def run_id(self) -> str:
        return self.facts.record.run_id

    @property
    def draw(self) -> Draw:
        return draw_of(self.facts.config)

    @property
    def n_folds(self) -> int | None:
        return self.facts.config.dataset.folds

    @property
    def has_dependent_samples(self) -> bool:
        """Whether the samples are not independent, because they belong to groups or to a time series."""
        data = self.facts.config.dataset
        return data.group is not None or data.time is not None

    @property
    def session(self) -> Session | None:
        return Session.stored(self.facts.environment)

    def is_measured_with(self, other: MeasuredRun) -> bool:
        """Return whether both runs were measured in one session on one machine, so that their times are comparable."""
        mine, its = self.session, other.session
        return mine is not None and its is not None and (mine.id, mine.host) == (its.id, its.host)


RunPair = tuple[MeasuredRun, MeasuredRun]  # of a variant and of its reference, on the same samples


@dataclass(frozen=True)
class RunResult:
    """A run that takes part in a comparison: measured, or with the reason why it did not finish."""

    config: ExperimentConfig
    run: MeasuredRun | None
    reason: str | None = None


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and why. split_seed, fold: None without folds."""

    seed: int
    reason: str
    split_seed: int | None = None
    fold: int | None = None

    @property
    def draw(self) -> Draw:
        return Draw(self.split_seed, self.fold, self.seed)


@dataclass(frozen=True)
class Variant:
    """The runs of one configuration with different seeds, or on different folds.

    settings: what distinguishes it from the other variants, by dotted key. runs: at most one per draw, sorted by draw.
    """

    label: str
    settings: Mapping[str, str]
    runs: tuple[MeasuredRun, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def draws(self) -> tuple[Draw, ...]:
        return tuple(run.draw for run in self.runs)

    @property
    def n_splits(self) -> int:
        """How many different splits the runs have: the folds of all repeats; 1 if only the seeds differ."""
        return len({run.draw[:2] for run in self.runs})


@dataclass(frozen=True)
class Pair:
    """A variant compared with another one, its reference, over the seeds, and with folds the folds, that both have.

    accuracy: variant minus reference; None without common seeds or without common test samples.
    time: fit seconds, variant divided by reference, over the runs of which both were measured in one session.
    has_comparable_times: whether there are such runs.
    mcnemar_p: with one common run, the p value of McNemar's test of the two trained models.
    n_runs: of each of the two variants. n_folds and n_repeats: None if only the seeds of these runs differ.
    score: variant minus reference in the metric of the comparison; None if that cannot be judged.
    """

    variant: str
    reference: str
    seeds: tuple[int, ...]
    accuracy: AccuracyDifference | FoldsDifference | None
    accuracy_verdict: Verdict | None
    time: TimeRatio | None
    time_verdict: Verdict | None
    has_comparable_times: bool
    mcnemar_p: float | None = None
    n_runs: int = 0
    n_folds: int | None = None
    n_repeats: int | None = None
    score: AccuracyDifference | FoldsDifference | ScoreDifference | None = None
    score_verdict: Verdict | None = None


@dataclass(frozen=True)
class MatrixCost:
    """What the cells of a matrix cost in this call."""

    n_cells: int
    n_run: int
    n_reused: int
    n_failed: int
    wall_seconds: float
    cells_seconds: float  # the total seconds that the runs report
    starting_seconds: float  # the rest of the lifetime of their processes
    contended: bool = False  # cells ran in parallel

    @property
    def starting_seconds_per_run(self) -> float:
        return self.starting_seconds / self.n_run if self.n_run else 0.0


@dataclass(frozen=True)
class PlannedCell:
    """A cell before it runs.

    seconds: an estimate from finished runs; None without a similar one. split_seed, fold: None without folds.
    """

    label: str
    split_seed: int | None
    fold: int | None
    seed: int
    state: CellState
    seconds: float | None
    reason: str | None = None


@dataclass(frozen=True)
class ReceiptRow:
    """One property of the compared runs: a value per run, None for a run that has no such property.

    In a comparison of variants, a value is that of all runs of a variant. is_mixed: these runs have several values, and
    not those that their seeds determine.
    """

    part: ReceiptPart
    what: str
    values: tuple[str | None, ...]
    is_mixed: bool = False

    @property
    def is_equal(self) -> bool:
        return len(set(self.values)) == 1 and not self.is_mixed


@dataclass(frozen=True)
class Receipt:
    """A comparability report: what was controlled, that is equal in all runs, and what differed."""

    run_ids: tuple[str, ...]  # the labels of variants in a comparison
    rows: tuple[ReceiptRow, ...]

    @property
    def different(self) -> tuple[ReceiptRow, ...]:
        return tuple(row for row in self.rows if not row.is_equal)


@dataclass(frozen=True)
class Comparison:
    """Variants, the reference first if one was chosen, and the comparison of every two of them."""

    name: str
    dataset: str
    variants: tuple[Variant, ...]
    means: Mapping[str, Mapping[str, MeanInterval | None]]  # by label and measurement
    reference: str | None  # the label; None if no variant has a finished run
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    receipt: Receipt | None = None  # a column per variant; None with fewer than two variants
    cost: MatrixCost | None = None  # None for a comparison of existing runs
    next_step: str | None = None  # what would settle an inconclusive verdict
    metric: str = DEFAULT_METRIC  # by which variants are judged

    @property
    def title(self) -> str:
        """The name and the data of the comparison."""
        return self.dataset if self.name == self.dataset else f"{self.name} on {self.dataset}"

    @property
    def ran(self) -> list[Variant]:
        """The variants with finished runs."""
        return [variant for variant in self.variants if variant.runs]

    @property
    def has_folds(self) -> bool:
        """Whether the runs of a variant differ in the fold, not only in the seed."""
        return any(variant.n_splits > 1 for variant in self.ran)

    @property
    def has_dependent_samples(self) -> bool:
        """Whether the samples of some runs are not independent."""
        return any(run.has_dependent_samples for variant in self.ran for run in variant.runs)

    @property
    def repeated_over(self) -> str:
        """What differs between the runs of a variant: seeds, or folds."""
        return "folds" if self.has_folds else "seeds"

    @property
    def is_contended(self) -> bool:
        """Whether some runs were measured while others ran, so that their times interfere."""
        sessions = [run.session for variant in self.ran for run in variant.runs]
        return any(session is not None and session.n_parallel > 1 for session in sessions)

    def pair_with_reference(self, variant: Variant) -> Pair | None:
        """Return the comparison of a variant with the reference; None for the reference itself and without runs."""
        pairs = (pair for pair in self.pairs if pair.reference == self.reference)
        return next((pair for pair in pairs if pair.variant == variant.label), None)
