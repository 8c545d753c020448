"""The output of a comparison and of a comparability report: tables, JSON, CSV, Markdown, HTML and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mlcli.compare import CompareRequest
from mlcli.compare.conclusions import accuracy_verdict_text, conclusions, method, score_verdict_text, time_verdict_text
from mlcli.compare.cost import cost_sentence, planned_seconds, planned_sentence
from mlcli.compare.html import comparison_html
from mlcli.compare.plots import save_comparison_plots
from mlcli.compare.records import COMPARISON_SCHEMA_VERSION, MEASUREMENTS, Comparison, PlannedCell, Receipt, Variant
from mlcli.compare.tables import LEAST_NEEDED, TextTable, comparison_tables, controlled_table, differences_table
from mlcli.rendering import print_json
from mlcli.rendering.console import escape, message_console, print_notes, result_console, stdout_into, write_text
from mlcli.rendering.tables import Row, markdown_table, print_csv, print_rows, print_table

if TYPE_CHECKING:
    from mlcli.compare.statistics.accuracy import AccuracyDifference
    from mlcli.compare.statistics.folds import FoldsDifference
    from mlcli.compare.statistics.intervals import MeanInterval
    from mlcli.compare.statistics.times import TimeRatio

_RECEIPT_SCHEMA_VERSION = 1
_VERDICT_STYLES = {"better": "green", "faster": "green", "worse": "red", "slower": "red"}


def report_comparison(comparison: Comparison, request: CompareRequest) -> None:
    """Print the notes and the comparison, the latter to a file if asked for, and save the plots.

    MlcliError for a file that cannot be written; no part of it is left then.
    """
    if not request.quiet:
        print_notes(comparison.notes)
    with stdout_into(request.output):
        print_comparison(comparison, request.output_format, explain=request.explain)
    if request.save_plots is not None:
        paths = save_comparison_plots(comparison, request.save_plots, request.plot_format)
        if not request.quiet:
            print_notes([f"saved {len(paths)} plots to {request.save_plots}"])


def print_comparison(comparison: Comparison, output_format: str, *, explain: bool = False) -> None:
    """Print to stdout: the conclusions, the tables and what differed; what was controlled and the method to explain it.

    CSV holds only rows: everything else goes to stderr. JSON and HTML hold everything.
    """
    match output_format:
        case "html":
            write_text(comparison_html(comparison))
        case "json":
            print_json(comparison_document(comparison))
        case "csv":
            print_csv([_csv_row(comparison, variant) for variant in comparison.variants])
            _print_answer(message_console(), comparison, _receipt(comparison, explain), explain)
        case "markdown":
            tables = [*comparison_tables(comparison), *_receipt(comparison, explain)]
            notes = [f"note: {note}" for note in comparison.notes]
            lines = [*_answer(comparison), *notes]
            footer = f"{method(comparison)}\n" if explain and comparison.pairs else ""
            write_text(
                "\n".join(["".join(f"- {line}\n" for line in lines), *_markdown(tables), footer]).rstrip() + "\n"
            )
        case _:
            tables = [*comparison_tables(comparison), *_receipt(comparison, explain)]
            _print_answer(result_console(), comparison, tables, explain)


def _receipt(comparison: Comparison, explain: bool) -> list[TextTable]:
    if comparison.receipt is None:
        return []
    return differences_table(comparison.receipt) + (controlled_table(comparison.receipt) if explain else [])


def _answer(comparison: Comparison) -> list[str]:
    return conclusions(comparison) + ([comparison.next_step] if comparison.next_step else [])


def _print_answer(console: Console, comparison: Comparison, tables: Sequence[TextTable], explain: bool) -> None:
    for sentence in _answer(comparison):
        console.print(escape(sentence), style="bold")
    _print_tables(console, tables)
    if comparison.pairs:
        console.print(method(comparison) if explain else _hint(comparison), style="dim", markup=False)
    if comparison.cost:
        console.print(cost_sentence(comparison.cost), style="dim", markup=False)


def _hint(comparison: Comparison) -> str:
    differ = comparison.receipt is not None and comparison.receipt.different
    return f"{'all other' if differ else 'all'} conditions were equal in all runs; --explain lists them and the method"


def _print_tables(console: Console, tables: Sequence[TextTable]) -> None:
    for table in tables:
        print_table(table.title, table.rows, droppable=LEAST_NEEDED, styles=_VERDICT_STYLES, console=console)


def _markdown(tables: Sequence[TextTable]) -> list[str]:
    return [f"**{table.title}**\n\n{markdown_table(table.rows)}" for table in tables]


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured and concluded, as plain values."""
    return {
        "schema_version": COMPARISON_SCHEMA_VERSION,
        "name": comparison.name,
        "dataset": comparison.dataset,
        "metric": comparison.metric,
        "reference": comparison.reference,
        "variants": [_variant_document(comparison, variant) for variant in comparison.variants],
        "pairs": [
            asdict(pair)
            | {"accuracy_is": accuracy_verdict_text(pair), "time_is": time_verdict_text(pair)}
            | {"score_is": score_verdict_text(pair, comparison.metric)}
            for pair in comparison.pairs
        ],
        "conclusions": conclusions(comparison),
        "next_step": comparison.next_step,
        "method": method(comparison),
        "notes": list(comparison.notes),
        "receipt": _receipt_document(comparison.receipt) if comparison.receipt else None,
        "cost": asdict(comparison.cost) if comparison.cost else None,
    }


def _variant_document(comparison: Comparison, variant: Variant) -> dict[str, Any]:
    means = comparison.means[variant.label]
    runs = [
        {"run_id": run.run_id, "directory": run.directory, "is_reused": run.is_reused}
        | run.draw._asdict()
        | dict(run.measurements)
        for run in variant.runs
    ]
    return {
        "label": variant.label,
        "settings": variant.settings,
        "n_runs": len(variant.runs),
        "means": {name: asdict(found) if found else None for name, found in means.items()},
        "runs": runs,
        "failures": [asdict(failure) for failure in variant.failures],
    }


def _csv_row(comparison: Comparison, variant: Variant) -> Row:
    """Return a variant as plain values, with the same columns in every comparison except for the settings."""
    means, pair = comparison.means[variant.label], comparison.pair_with_reference(variant)
    row = {"variant": variant.label, **variant.settings, "n_runs": len(variant.runs), "n_failed": len(variant.failures)}
    for name in MEASUREMENTS:
        columns = _interval_columns(name, means[name])
        row |= columns if name in ("accuracy", "loss") else {name: columns[name]}
    return {
        **row,
        "reference": comparison.reference,
        **_interval_columns("accuracy_difference", pair.accuracy if pair else None),
        "accuracy_is": accuracy_verdict_text(pair),
        **_interval_columns("time_ratio", pair.time if pair else None),
        "time_is": time_verdict_text(pair),
        "reason": variant.failures[0].reason if variant.failures else None,
        "metric": comparison.metric,
        **_interval_columns("score_difference", pair.score if pair else None),
        "score_is": score_verdict_text(pair, comparison.metric),
    }


def _interval_columns(
    name: str, found: MeanInterval | AccuracyDifference | FoldsDifference | TimeRatio | None
) -> dict[str, Any]:
    values = (found.mean, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def print_planned(cells: Sequence[PlannedCell], output_format: str) -> None:
    """Print the cells of a matrix before they run, and an estimate of the time, to stdout."""
    rows = [asdict(cell) for cell in cells]
    if output_format == "json":
        seconds, n_unknown = planned_seconds(cells)
        document = {"schema_version": COMPARISON_SCHEMA_VERSION, "cells": rows, "seconds": seconds}
        print_json(document | {"n_without_estimate": n_unknown})
        return
    if all(cell.fold is None for cell in cells):
        rows = [{name: value for name, value in row.items() if name not in ("split_seed", "fold")} for row in rows]
    if output_format in ("csv", "markdown"):
        print_rows("", rows, output_format)
    else:
        print_table("planned cells; nothing was run", rows)
        result_console().print(planned_sentence(cells), style="bold", markup=False)


def print_receipt(receipt: Receipt, output_format: str) -> None:
    """Print a comparability report to stdout; JSON and CSV have digests in full, table and Markdown shortened."""
    names = [f"run {number}" for number, _ in enumerate(receipt.run_ids, 1)]
    tables = [*differences_table(receipt, names), *controlled_table(receipt)]
    lines = [] if receipt.different else ["no differences"]
    lines += [f"{name}: {run_id}" for name, run_id in zip(names, receipt.run_ids, strict=True)]
    match output_format:
        case "json":
            print_json({"schema_version": _RECEIPT_SCHEMA_VERSION, **_receipt_document(receipt)})
        case "csv":
            rows = (
                (row, {f"run_{number}": value for number, value in enumerate(row.values, 1)}) for row in receipt.rows
            )
            print_csv(
                [{"part": row.part, "what": row.what, "is_equal": row.is_equal, **values} for row, values in rows]
            )
        case "markdown":
            write_text("\n".join([*_markdown(tables), "".join(f"- {line}\n" for line in lines)]))
        case _:
            console = result_console()
            _print_tables(console, tables)
            for line in lines:
                console.print(escape(line))


def _receipt_document(receipt: Receipt) -> dict[str, object]:
    rows = [
        {"part": row.part, "what": row.what, "is_equal": row.is_equal, "values": row.values} for row in receipt.rows
    ]
    return {"runs": receipt.run_ids, "rows": rows}
