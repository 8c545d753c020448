"""The tables of a comparison as text: a row per variant; what differed between runs, and what was controlled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlcli.compare.conclusions import difference_text, ratio, score_verdict_text, time_verdict_text, unit_of
from mlcli.compare.records import Comparison, Receipt, Variant
from mlcli.compare.variants import short_key
from mlcli.registry import DEFAULT_METRIC, METRICS

if TYPE_CHECKING:
    from mlcli.compare.statistics.intervals import MeanInterval

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_MAX_RECEIPT_COLUMNS = 4
_LONGEST_LABEL = 12  # in a header; a longer one is replaced by "reference"

_ROUNDING = 1e-9  # a larger asymmetry of an interval is not a rounding error

Cells = dict[str, str | None]  # by header; None is an empty cell


_FIRST_EPOCH, _PREDICT, _MEMORY = "first\nepoch\n(s)", "predict\n(µs)", "memory\n(MiB)"
LEAST_NEEDED = (_PREDICT, _MEMORY, _FIRST_EPOCH)  # columns that a narrow terminal does not show


@dataclass(frozen=True)
class TextTable:
    """One or more rows with the same headers."""

    title: str
    rows: Sequence[Cells]


def comparison_tables(comparison: Comparison) -> list[TextTable]:
    """Return the tables of scores, of times, and of the runs that did not finish, each if there are any."""
    contended = " (contended: cells ran in parallel)" if comparison.is_contended else ""
    scores = [_scores(comparison, variant) for variant in comparison.ran]
    if len({row["parameters"] for row in scores}) == 1:
        scores = [row | {"parameters": None} for row in scores]
    times = [_times(comparison, variant) for variant in comparison.ran]
    return [
        *_table_of_variants(title_of(comparison), comparison.ran, scores),
        *_table_of_variants(
            f"time and memory, means over {comparison.repeated_over}{contended}", comparison.ran, times
        ),
        *_failed_table(comparison),
    ]


def title_of(comparison: Comparison) -> str:
    """Return what is compared, and on which data."""
    n_variants = len(comparison.variants)
    return f"{comparison.title}: {n_variants:,} variant{'s'[: n_variants > 1]}{_test_samples(comparison)}"


def _test_samples(comparison: Comparison) -> str:
    """Return how many test samples there are, or how they were divided; empty if the runs differ in this."""
    runs = [run for variant in comparison.variants for run in variant.runs]
    if comparison.has_folds:
        n_folds, n_repeats = {run.n_folds for run in runs}, len({run.draw.split_seed for run in runs})
        repeats = f", {n_repeats} repeats" if n_repeats > 1 else ""
        return f", {n_folds.pop()} folds{repeats}" if len(n_folds) == 1 else ""
    n_test = {len(run.correct) for run in runs}
    return f", {n_test.pop():,} test samples" if len(n_test) == 1 else ""


def _scores(comparison: Comparison, variant: Variant) -> Cells:
    means, pair = comparison.means[variant.label], comparison.pair_with_reference(variant)
    mark = "reference" if comparison.pairs and variant.label == comparison.reference else None
    return {
        **_n_runs(comparison, variant),
        _mean_header(comparison, "accuracy"): _with_interval(means["accuracy"]),
        _mean_header(comparison, "loss"): _with_interval(means["loss"]),
        **_chosen_metric(comparison, variant),
        "parameters": _rounded(means["n_parameters"]),
        f"{_compared(comparison)} vs\n{_reference(comparison)}{unit_of(comparison.metric).short}": (
            difference_text(pair, comparison.metric) or mark
        ),
        "verdict": score_verdict_text(pair, comparison.metric),
    }


def _compared(comparison: Comparison) -> str:
    return "difference" if comparison.metric == DEFAULT_METRIC else METRICS[comparison.metric].title


def _chosen_metric(comparison: Comparison, variant: Variant) -> Cells:
    """Return the mean of the metric by which variants are judged, if the table does not have it anyway."""
    if (metric := comparison.metric) in ("accuracy", "loss"):
        return {}
    header = _mean_header(comparison, metric).replace(metric, METRICS[metric].title)
    return {header: _with_interval(comparison.means[variant.label][metric])}


def _n_runs(comparison: Comparison, variant: Variant) -> Cells:
    """Return the number of seeds, or of folds in all repeats, and of runs if some folds have several seeds."""
    n_runs, n_splits = len(variant.runs), variant.n_splits
    if not comparison.has_folds:
        return {"seeds": str(n_runs)}
    has_several = any(len(other.runs) > other.n_splits for other in comparison.ran)
    return {"folds": str(n_splits), "runs": str(n_runs) if has_several else None}


def _times(comparison: Comparison, variant: Variant) -> Cells:
    means, pair = comparison.means[variant.label], comparison.pair_with_reference(variant)
    mark = "reference" if comparison.pairs and variant.label == comparison.reference else None
    return {
        "fit\n(s)": _seconds(means["fit_seconds"]),
        _FIRST_EPOCH: _seconds(means["first_epoch_seconds"]),
        "later\nepochs\n(s)": _seconds(means["steady_epoch_seconds"]),
        "samples\nper s": _rounded(means["samples_per_second"]),
        _PREDICT: _seconds(means["predict_seconds_per_sample"], unit=1e-6),
        _MEMORY: _rounded(means["peak_memory_bytes"], unit=2**20),
        f"fit time relative\nto {_reference(comparison)}": ratio(pair) or mark,
        "time\nverdict": time_verdict_text(pair),
    }


def _reference(comparison: Comparison) -> str:
    label = comparison.reference or ""
    return label if len(label) <= _LONGEST_LABEL else "reference"


def _mean_header(comparison: Comparison, name: str) -> str:
    """Return the header of a column of means, which defines ± if any variant has enough runs for an interval."""
    has_interval = any(found and found.high is not None for found in (m[name] for m in comparison.means.values()))
    return f"{name}\n(± half of\n95 % interval)" if has_interval else name


def _with_interval(found: MeanInterval | None) -> str | None:
    """Return a mean with half of its interval, or with both ends where the possible range cuts the interval off."""
    if found is None or found.low is None or found.high is None:
        return f"{found.mean:.4f}" if found else None
    if abs(found.low + found.high - 2 * found.mean) > _ROUNDING:
        return f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"
    return f"{found.mean:.4f} ± {found.high - found.mean:.4f}"


def _rounded(found: MeanInterval | None, unit: float = 1) -> str | None:
    return f"{found.mean / unit:,.0f}" if found else None


def _seconds(found: MeanInterval | None, unit: float = 1) -> str | None:
    return f"{found.mean / unit:.3g}" if found and found.mean / unit < 1000 else _rounded(found, unit)


def _table_of_variants(title: str, variants: Sequence[Variant], cells: Sequence[Cells]) -> list[TextTable]:
    """Return a table without the columns in which no variant has a value; none without variants."""
    if not variants:
        return []
    shown = [header for header in cells[0] if any(row[header] for row in cells)]
    rows = [
        _settings(variant) | {header: row[header] for header in shown}
        for variant, row in zip(variants, cells, strict=True)
    ]
    return [TextTable(title, rows)]


def _settings(variant: Variant) -> Cells:
    return {short_key(key): value for key, value in variant.settings.items()}


def _failed_table(comparison: Comparison) -> list[TextTable]:
    rows = []
    for variant in comparison.variants:
        runs: dict[str, list[str]] = {}
        for failure in variant.failures:
            runs.setdefault(failure.reason, []).append(str(failure.seed if failure.fold is None else failure.draw))
        header = "seeds" if all(failure.fold is None for failure in variant.failures) else "runs"
        rows += [
            _settings(variant) | {header: "; ".join(found) if header == "runs" else ", ".join(found), "reason": reason}
            for reason, found in runs.items()
        ]
    return [TextTable("runs that did not finish, not ranked", rows)] if rows else []


def differences_table(receipt: Receipt, names: Sequence[str] = ()) -> list[TextTable]:
    """Return the table of what differed, a column per run; none if nothing did.

    names: the headers of the runs; their ids if empty.
    """
    rows: list[Cells] = [{"": row.what, **_by_run(names or receipt.run_ids, row.values)} for row in receipt.different]
    return [TextTable("differences", rows)] if rows else []


def controlled_table(receipt: Receipt) -> list[TextTable]:
    """Return the table of what was controlled, a row per part; without what no run has."""
    controlled: dict[str, list[str]] = {}
    for row in receipt.rows:
        value = row.values[0]
        if row.is_equal and value is not None:
            controlled.setdefault(row.part, []).append(row.what if _DIGEST.search(value) else f"{row.what} {value}")
    rows: list[Cells] = [{"": part, "equal in all runs": "; ".join(facts)} for part, facts in controlled.items()]
    return [TextTable("controlled", rows)] if rows else []


def _by_run(names: Sequence[str], values: Sequence[str | None]) -> Mapping[str, str]:
    """Return a column per run; with many runs one column, in which each value lists the runs that have it."""
    shortened = ["none" if value is None else _DIGEST.sub(lambda match: match[0][:12], value) for value in values]
    if len(names) <= _MAX_RECEIPT_COLUMNS:
        return dict(zip(names, shortened, strict=True))
    by_value: dict[str, list[str]] = {}
    for name, value in zip(names, shortened, strict=True):
        by_value.setdefault(value, []).append(name)
    return {"values": " | ".join(f"{value}: {', '.join(found)}" for value, found in by_value.items())}
