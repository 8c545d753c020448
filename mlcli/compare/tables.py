"""The tables of a comparison, as text: one row a variant, the columns that vary."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlcli.compare.conclusions import accuracy_word, points, ratio, time_word
from mlcli.compare.records import Comparison, Pair, Receipt, Variant
from mlcli.errors import UsageError, unknown_name

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_MAX_RECEIPT_COLUMNS = 4
_LONGEST_LABEL = 12  # in a header; the row of the reference says which it is


@dataclass(frozen=True)
class TextTable:
    """Rows that share their keys, the headers, in which a line may break. None is an empty cell."""

    title: str
    rows: tuple[Mapping[str, str | None], ...]
    n_names: int = 1  # columns that say what a row is about


@dataclass(frozen=True)
class TableOptions:
    """columns: names from COLUMNS, None for the usual ones. sort: one of them, with - before it for descending.

    only_changed: leave out variants that are a tie with the reference in accuracy and in time.
    """

    columns: tuple[str, ...] | None = None
    sort: str | None = None
    only_changed: bool = False


@dataclass(frozen=True)
class _Column:
    """{reference} in a header is the label of the reference. value: what is sorted by."""

    header: str
    text: Callable[[Comparison, Variant], str | None]
    value: Callable[[Comparison, Variant], float | None]


def _mean(name: str) -> Callable[[Comparison, Variant], float | None]:
    def value(comparison: Comparison, variant: Variant) -> float | None:
        found = comparison.means[variant.label][name]
        return found.mean if found else None

    return value


def _figure(header: str, name: str, form: Callable[[float], str]) -> _Column:
    value = _mean(name)

    def text(comparison: Comparison, variant: Variant) -> str | None:
        mean = value(comparison, variant)
        return None if mean is None else form(mean)

    return _Column(header, text, value)


def _with_interval(header: str, name: str) -> _Column:
    def text(comparison: Comparison, variant: Variant) -> str | None:
        found = comparison.means[variant.label][name]
        if found is None:
            return None
        return f"{found.mean:.4f}" if found.high is None else f"{found.mean:.4f} ± {found.high - found.mean:.4f}"

    return _Column(header, text, _mean(name))


def _to_reference(comparison: Comparison, variant: Variant) -> Pair | None:
    return comparison.pair(variant.label, comparison.reference or "")


def _of_pair(
    header: str,
    text: Callable[[Pair | None], str | None],
    value: Callable[[Pair], float | None],
    reference: str | None = None,
) -> _Column:
    """reference: what the row of the reference itself shows."""

    def sort_value(comparison: Comparison, variant: Variant) -> float | None:
        pair = _to_reference(comparison, variant)
        return value(pair) if pair else None

    def own_text(comparison: Comparison, variant: Variant) -> str | None:
        if variant.label == comparison.reference:
            return reference
        return text(_to_reference(comparison, variant))

    return _Column(header, own_text, sort_value)


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


COLUMNS: dict[str, _Column] = {
    "n": _Column("n", lambda _, variant: str(len(variant.runs)), lambda _, variant: len(variant.runs)),
    "accuracy": _with_interval("accuracy", "accuracy"),
    "loss": _with_interval("loss", "loss"),
    "difference": _of_pair(
        "points to\n{reference}", points, lambda pair: pair.accuracy.mean if pair.accuracy else None, "reference"
    ),
    "verdict": _of_pair("verdict", accuracy_word, lambda pair: pair.accuracy.mean if pair.accuracy else None),
    "fit_seconds": _figure("fit\n(s)", "fit_seconds", _seconds),
    "first_epoch_seconds": _figure("first\nepoch\n(s)", "first_epoch_seconds", _seconds),
    "steady_epoch_seconds": _figure("later\nepochs\n(s)", "steady_epoch_seconds", _seconds),
    "samples_per_second": _figure("samples/s", "samples_per_second", lambda value: f"{value:,.0f}"),
    "predict_seconds": _figure("predict\n(µs)", "predict_seconds_per_sample", lambda value: _seconds(value * 1e6)),
    "memory": _figure("memory\n(MiB)", "peak_memory_bytes", lambda value: f"{value / 2**20:,.0f}"),
    "parameters": _figure("parameters", "n_parameters", lambda value: f"{value:,.0f}"),
    "total_seconds": _figure("whole run\n(s)", "total_seconds", _seconds),
    "time_ratio": _of_pair(
        "fit time over\n{reference}", ratio, lambda pair: pair.time.mean if pair.time else None, "reference"
    ),
    "time_verdict": _of_pair("speed", time_word, lambda pair: pair.time.mean if pair.time else None),
}
_SCORES = ("n", "accuracy", "loss", "parameters", "difference", "verdict")
_COSTS = (
    "fit_seconds", "first_epoch_seconds", "steady_epoch_seconds", "samples_per_second", "predict_seconds", "memory",
    "time_ratio", "time_verdict",
)  # fmt: skip


def checked_options(columns: str | None, sort: str | None, *, only_changed: bool) -> TableOptions:
    """The options of the flags; UsageError for a column that does not exist."""
    names = tuple(name.strip() for name in columns.split(",")) if columns else None
    named = [("--columns", name) for name in names or ()]
    named += [("--sort", sort.removeprefix("-"))] if sort else []
    for flag, name in named:
        if name not in COLUMNS:
            raise UsageError(f"{flag}: {unknown_name('column', name, list(COLUMNS))}")
    return TableOptions(names, sort, only_changed)


def comparison_tables(comparison: Comparison, options: TableOptions) -> list[TextTable]:
    """Scores, times and, where there are any, the runs that failed, which are not ranked."""
    variants = _chosen(comparison, options)
    tables = []
    if variants and options.columns:
        tables = [_table(title_of(comparison), comparison, variants, options.columns)]
    elif variants:
        contended = ", contended: cells ran side by side" if comparison.cost and comparison.cost.contended else ""
        scores = [name for name in _SCORES if name != "parameters" or _varies(comparison, variants, name)]
        tables = [
            _table(title_of(comparison), comparison, variants, scores),
            _table(f"time and memory, means{contended}", comparison, variants, _COSTS),
        ]
    return [*tables, *_failed_table(comparison)]


def title_of(comparison: Comparison) -> str:
    """What is compared, on what."""
    ran = [variant for variant in comparison.variants if variant.runs]
    n_test = {len(run.correct) for variant in ran for run in variant.runs}
    samples = f", {n_test.pop():,} test samples" if len(n_test) == 1 else ""
    return f"{comparison.name} on {comparison.dataset}: {count(len(comparison.variants), 'variant')}{samples}"


def count(n: int, noun: str) -> str:
    """A number and its noun: 1 variant, 3 variants."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _chosen(comparison: Comparison, options: TableOptions) -> list[Variant]:
    variants = [variant for variant in comparison.variants if variant.runs]
    if options.only_changed:
        variants = [variant for variant in variants if _is_changed(comparison, variant)]
    if options.sort is None:
        return variants
    is_descending, name = options.sort.startswith("-"), options.sort.removeprefix("-")
    values = {variant.label: COLUMNS[name].value(comparison, variant) for variant in variants}
    known = [variant for variant in variants if values[variant.label] is not None]
    known.sort(key=lambda variant: values[variant.label] or 0.0, reverse=is_descending)
    return known + [variant for variant in variants if values[variant.label] is None]


def _is_changed(comparison: Comparison, variant: Variant) -> bool:
    pair = _to_reference(comparison, variant)
    verdicts = [pair.accuracy_verdict, pair.time_verdict] if pair else []
    is_reference = variant.label == comparison.reference
    return is_reference or any(verdict and verdict.word in ("higher", "lower") for verdict in verdicts)


def _varies(comparison: Comparison, variants: Sequence[Variant], name: str) -> bool:
    return len({COLUMNS[name].text(comparison, variant) for variant in variants}) > 1


def _table(title: str, comparison: Comparison, variants: Sequence[Variant], names: Sequence[str]) -> TextTable:
    """Without the columns that no variant has a value in."""
    shown = [name for name in names if any(COLUMNS[name].text(comparison, variant) for variant in variants)]
    if len(variants) == 1:
        shown = [name for name in shown if name not in ("difference", "verdict", "time_ratio", "time_verdict")]
    reference = comparison.reference or ""
    shown_reference = reference if len(reference) <= _LONGEST_LABEL else "reference"
    headers = {name: COLUMNS[name].header.format(reference=shown_reference) for name in shown}
    rows = tuple(
        _settings(variant) | {headers[name]: COLUMNS[name].text(comparison, variant) for name in shown}
        for variant in variants
    )
    return TextTable(title, rows, n_names=len(variants[0].settings))


def _settings(variant: Variant) -> dict[str, str | None]:
    """What tells the variant from the others, a column a key."""
    return {key.removesuffix(".name").rpartition(".")[2]: value for key, value in variant.settings.items()}


def _failed_table(comparison: Comparison) -> list[TextTable]:
    rows = []
    for variant in comparison.variants:
        seeds: dict[str, list[str]] = {}
        for failure in variant.failures:
            seeds.setdefault(failure.reason, []).append(str(failure.seed))
        rows += [{**_settings(variant), "seeds": ", ".join(found), "reason": reason} for reason, found in seeds.items()]
    return [TextTable("did not finish, and are not ranked", tuple(rows))] if rows else []


def receipt_tables(receipt: Receipt) -> list[TextTable]:
    """What differed, a column a variant, and what was held equal, a row a part."""
    rows = [{"": row.what, **_by_variant(receipt.run_ids, row.values)} for row in receipt.different]
    equal: dict[str, list[str]] = {}
    for row in receipt.rows:
        value = row.values[0]
        if row.is_equal and value is not None:
            is_digest = bool(_DIGEST.search(value))
            equal.setdefault(row.part, []).append(row.what if is_digest else f"{row.what} {value}")
    held = [{"": part, "in common": "; ".join(facts)} for part, facts in equal.items()]
    return [TextTable("what differed", tuple(rows)), TextTable("what was held equal", tuple(held))]


def _by_variant(labels: Sequence[str], values: Sequence[str | None]) -> dict[str, str]:
    """A column a variant; with many of them one column, each value with the variants that have it."""
    if len(labels) <= _MAX_RECEIPT_COLUMNS:
        return {label: short(value) for label, value in zip(labels, values, strict=True)}
    having: dict[str, list[str]] = {}
    for label, value in zip(labels, values, strict=True):
        having.setdefault(short(value), []).append(label)
    if any(value and _DIGEST.search(value) for value in values):
        return {"values": " | ".join(", ".join(found) for found in having.values())}
    return {"values": " | ".join(f"{value}: {', '.join(found)}" for value, found in having.items())}


def short(value: str | None) -> str:
    """Digests by their first twelve digits; none for nothing."""
    return "none" if value is None else _DIGEST.sub(lambda match: match[0][:12], value)
