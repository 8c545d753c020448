"""The tables of a comparison as text: a row per variant; what differed between runs, and what was controlled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlcli.compare.conclusions import accuracy_verdict_text, points, ratio, time_verdict_text
from mlcli.compare.records import Comparison, Receipt, Variant
from mlcli.compare.variants import short_key
from mlcli.errors import UsageError, unknown_name
from mlcli.text import comma_separated

if TYPE_CHECKING:
    from mlcli.compare.statistics.intervals import MeanInterval

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_MAX_RECEIPT_COLUMNS = 4
_LONGEST_LABEL = 12  # in a header; a longer one is replaced by "reference"

# The columns by the name under which --columns and --sort know them; {reference} becomes the label of the reference.
HEADERS = {
    "seeds": "seeds",
    "accuracy": "accuracy",
    "loss": "loss",
    "parameters": "parameters",
    "difference": "difference vs\n{reference} (pp)",
    "verdict": "verdict",
    "fit_seconds": "fit\n(s)",
    "first_epoch_seconds": "first\nepoch\n(s)",
    "steady_epoch_seconds": "later\nepochs\n(s)",
    "samples_per_second": "samples\nper s",
    "predict_seconds": "predict\n(µs)",
    "memory": "memory\n(MiB)",
    "time_ratio": "fit time relative\nto {reference}",
    "time_verdict": "time\nverdict",
    "total_seconds": "total\n(s)",
}
_SCORES = ("seeds", "accuracy", "loss", "parameters", "difference", "verdict")
_OF_PAIRS = ("difference", "verdict", "time_ratio", "time_verdict")
_COSTS = (
    "fit_seconds",
    "first_epoch_seconds",
    "steady_epoch_seconds",
    "samples_per_second",
    "predict_seconds",
    "memory",
    "time_ratio",
    "time_verdict",
)


@dataclass(frozen=True)
class TextTable:
    """Rows with the same keys, which are the headers. None is an empty cell."""

    title: str
    rows: tuple[Mapping[str, str | None], ...]
    n_names: int = 1  # the first columns, which name the subject of a row


@dataclass(frozen=True)
class TableOptions:
    """Which rows and columns are shown.

    columns: names from HEADERS; None for the default ones. sort: one of them, preceded by - for descending order.
    only_changed: omit variants that do not differ from the reference in accuracy or time.
    """

    columns: tuple[str, ...] | None = None
    sort: str | None = None
    only_changed: bool = False


def checked_options(columns: str | None, sort: str | None, *, only_changed: bool) -> TableOptions:
    """Return the options of the flags; UsageError for a column that does not exist."""
    names = tuple(comma_separated(columns)) if columns else None
    named = [("--columns", name) for name in names or ()]
    named += [("--sort", sort.removeprefix("-"))] if sort else []
    for flag, name in named:
        if name not in HEADERS:
            raise UsageError(f"{flag}: {unknown_name('column', name, list(HEADERS))}")
    return TableOptions(names, sort, only_changed)


class _Cell(NamedTuple):
    """A value to sort by, and the text that is shown; None for a value that does not exist."""

    value: float | None
    text: str | None


def _cells(comparison: Comparison, variant: Variant) -> dict[str, _Cell]:
    """Return the cells of a variant by the names of the columns."""
    means = comparison.means[variant.label]
    pair = comparison.pair(variant.label, comparison.reference or "")
    difference = pair.accuracy.mean if pair and pair.accuracy else None
    time = pair.time.mean if pair and pair.time else None
    is_reference = variant.label == comparison.reference
    return {
        "seeds": _Cell(len(variant.runs), str(len(variant.runs))),
        "accuracy": _with_interval(means["accuracy"]),
        "loss": _with_interval(means["loss"]),
        "parameters": _rounded(means["n_parameters"]),
        "difference": _Cell(difference, "reference" if is_reference else points(pair)),
        "verdict": _Cell(difference, accuracy_verdict_text(pair)),
        "fit_seconds": _seconds(means["fit_seconds"]),
        "first_epoch_seconds": _seconds(means["first_epoch_seconds"]),
        "steady_epoch_seconds": _seconds(means["steady_epoch_seconds"]),
        "samples_per_second": _rounded(means["samples_per_second"]),
        "predict_seconds": _seconds(means["predict_seconds_per_sample"], unit=1e-6),
        "memory": _rounded(means["peak_memory_bytes"], unit=2**20),
        "time_ratio": _Cell(time, "reference" if is_reference else ratio(pair)),
        "time_verdict": _Cell(time, time_verdict_text(pair)),
        "total_seconds": _seconds(means["total_seconds"]),
    }


def _with_interval(found: MeanInterval | None) -> _Cell:
    if found is None:
        return _Cell(None, None)
    interval = "" if found.high is None else f" ± {found.high - found.mean:.4f}"
    return _Cell(found.mean, f"{found.mean:.4f}{interval}")


def _rounded(found: MeanInterval | None, unit: float = 1) -> _Cell:
    return _Cell(found.mean, f"{found.mean / unit:,.0f}") if found else _Cell(None, None)


def _seconds(found: MeanInterval | None, unit: float = 1) -> _Cell:
    if found is None or found.mean / unit >= 1000:
        return _rounded(found, unit)
    return _Cell(found.mean, f"{found.mean / unit:.3g}")


def comparison_tables(comparison: Comparison, options: TableOptions) -> list[TextTable]:
    """Return the tables of scores, of times, and of the runs that did not finish, if there are any."""
    cells = {variant.label: _cells(comparison, variant) for variant in comparison.variants if variant.runs}
    variants = _chosen(comparison, options, cells)
    tables = []
    if variants and options.columns:
        tables = [_table(title_of(comparison), comparison, variants, cells, options.columns)]
    elif variants:
        contended = " (contended: cells ran in parallel)" if comparison.cost and comparison.cost.contended else ""
        has_sizes = len({cells[variant.label]["parameters"].text for variant in variants}) > 1
        scores = [name for name in _SCORES if name != "parameters" or has_sizes]
        tables = [
            _table(title_of(comparison), comparison, variants, cells, scores),
            _table(f"time and memory, means over seeds{contended}", comparison, variants, cells, _COSTS),
        ]
    return [*tables, *_failed_table(comparison)]


def title_of(comparison: Comparison) -> str:
    """Return what is compared, and on which data."""
    n_test = {len(run.correct) for variant in comparison.variants for run in variant.runs}
    samples = f", {n_test.pop():,} test samples" if len(n_test) == 1 else ""
    n_variants = len(comparison.variants)
    return f"{comparison.name} on {comparison.dataset}: {n_variants:,} variant{'s'[: n_variants > 1]}{samples}"


def _chosen(comparison: Comparison, options: TableOptions, cells: Mapping[str, Mapping[str, _Cell]]) -> list[Variant]:
    """Return the variants to show, in their order; those without a value to sort by last."""
    variants = [variant for variant in comparison.variants if variant.runs]
    if options.only_changed:
        variants = [variant for variant in variants if _is_changed(comparison, variant)]
    if options.sort is None:
        return variants
    sign, name = (-1, options.sort[1:]) if options.sort.startswith("-") else (1, options.sort)
    values = {variant.label: cells[variant.label][name].value for variant in variants}
    return sorted(variants, key=lambda variant: (values[variant.label] is None, sign * (values[variant.label] or 0)))


def _is_changed(comparison: Comparison, variant: Variant) -> bool:
    pair = comparison.pair(variant.label, comparison.reference or "")
    verdicts = [pair.accuracy_verdict, pair.time_verdict] if pair else []
    is_reference = variant.label == comparison.reference
    return is_reference or any(verdict and verdict.word in ("higher", "lower") for verdict in verdicts)


def _table(
    title: str,
    comparison: Comparison,
    variants: Sequence[Variant],
    cells: Mapping[str, Mapping[str, _Cell]],
    names: Sequence[str],
) -> TextTable:
    """Return a table without the columns in which no variant has a value."""
    shown = [name for name in names if any(cells[variant.label][name].text for variant in variants)]
    if len(variants) == 1:
        shown = [name for name in shown if name not in _OF_PAIRS]
    reference = comparison.reference or ""
    reference = reference if len(reference) <= _LONGEST_LABEL else "reference"
    headers = {name: HEADERS[name].format(reference=reference) for name in shown}
    rows = tuple(
        _settings(variant) | {headers[name]: cells[variant.label][name].text for name in shown} for variant in variants
    )
    return TextTable(title, rows, n_names=len(variants[0].settings))


def _settings(variant: Variant) -> dict[str, str | None]:
    """Return what distinguishes the variant from the others, a column per key."""
    return {short_key(key): value for key, value in variant.settings.items()}


def _failed_table(comparison: Comparison) -> list[TextTable]:
    rows = []
    for variant in comparison.variants:
        seeds: dict[str, list[str]] = {}
        for failure in variant.failures:
            seeds.setdefault(failure.reason, []).append(str(failure.seed))
        rows += [{**_settings(variant), "seeds": ", ".join(found), "reason": reason} for reason, found in seeds.items()]
    return [TextTable("runs that did not finish, not ranked", tuple(rows))] if rows else []


def receipt_tables(receipt: Receipt, names: Sequence[str] = ()) -> list[TextTable]:
    """Return the table of what differed, a column per run, and that of what was controlled, a row per part.

    names: the headers of the runs; their ids if empty. What no run has is omitted.
    """
    names = names or receipt.run_ids
    differences = [{"": row.what, **_by_run(names, row.values)} for row in receipt.different]
    controlled: dict[str, list[str]] = {}
    for row in receipt.rows:
        value = row.values[0]
        if row.is_equal and value is not None:
            is_digest = bool(_DIGEST.search(value))
            controlled.setdefault(row.part, []).append(row.what if is_digest else f"{row.what} {value}")
    equal = [{"": part, "equal in all runs": "; ".join(facts)} for part, facts in controlled.items()]
    return [TextTable("differences", tuple(differences)), TextTable("controlled", tuple(equal))]


def _by_run(names: Sequence[str], values: Sequence[str | None]) -> dict[str, str]:
    """Return a column per run; with many runs one column, in which each value lists the runs that have it."""
    if len(names) <= _MAX_RECEIPT_COLUMNS:
        return {name: _short(value) for name, value in zip(names, values, strict=True)}
    by_value: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        by_value.setdefault(_short(value), []).append(name)
    return {"values": " | ".join(f"{value}: {', '.join(found)}" for value, found in by_value.items())}


def _short(value: str | None) -> str:
    """Return the value with digests shortened to twelve digits; "none" for None."""
    return "none" if value is None else _DIGEST.sub(lambda match: match[0][:12], value)
