"""A comparison on stdout: tables with the receipt and the closing sentences, JSON, CSV, Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table

from mlcli.compare.conclusions import (
    METHOD,
    accuracy_word,
    conclusions,
    cost_sentence,
    time_word,
)
from mlcli.compare.receipt_report import receipt_document
from mlcli.compare.records import COMPARISON_SCHEMA_VERSION, FIGURES, Comparison, Pair, PlannedCell, Variant
from mlcli.compare.tables import TableOptions, TextTable, comparison_tables, receipt_tables
from mlcli.rendering.console import OutputFormat, escape, message_console, result_console, stdout_into, write_text
from mlcli.rendering.tables import markdown_cell, print_csv
from mlcli.text import to_json

_VERDICT_STYLES = {"better": "green", "faster": "green", "worse": "red", "slower": "red"}
_LONGEST_NAME = 24
_LEFT = ("", "in common", "reason", "values")


def print_comparison(comparison: Comparison, output_format: str, options: TableOptions) -> None:
    """Print to stdout; with CSV the receipt and the closing sentences go to stderr, for rows have no place for them."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json(comparison_document(comparison)))
        case OutputFormat.CSV:
            print_csv([_flat_row(comparison, variant) for variant in comparison.variants])
            _print_receipt(message_console(), comparison)
            _print_closing(message_console(), comparison)
        case OutputFormat.MARKDOWN:
            write_text(_markdown(comparison, options))
        case OutputFormat.TABLE:
            console = result_console()
            for table in comparison_tables(comparison, options):
                _print_table(console, table)
            _print_receipt(console, comparison)
            _print_closing(console, comparison)


def _print_receipt(console: Console, comparison: Comparison) -> None:
    for table in receipt_tables(comparison.receipt) if comparison.receipt else []:
        if table.rows:
            _print_table(console, table)


def _print_table(console: Console, table: TextTable) -> None:
    shown = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        show_header=any(table.rows[0]) and "in common" not in table.rows[0],
    )
    for number, header in enumerate(table.rows[0]):
        is_name = number < table.n_names
        is_text = is_name or header in _LEFT or table.title == "what differed"
        justify: JustifyMethod = "left" if is_text else "right"
        longest = max(len(row[header] or "") for row in table.rows)
        # Names stay whole; the other columns of a table too wide for the terminal are folded.
        shown.add_column(
            escape(header), justify=justify, overflow="fold", min_width=min(longest, _LONGEST_NAME) if is_name else None
        )
    for row in table.rows:
        shown.add_row(*(_styled(value or "") for value in row.values()))
    console.print(escape(table.title), style="bold")
    console.print(shown)
    console.print()


def _styled(text: str) -> str:
    style = _VERDICT_STYLES.get(text)
    return f"[{style}]{text}[/{style}]" if style else escape(text)


def _print_closing(console: Console, comparison: Comparison) -> None:
    for sentence in conclusions(comparison):
        console.print(escape(sentence), style="bold")
    if comparison.pairs:
        console.print(METHOD, style="dim", markup=False)
    if comparison.cost:
        console.print(cost_sentence(comparison.cost), style="dim", markup=False)


def _markdown(comparison: Comparison, options: TableOptions) -> str:
    tables = [*comparison_tables(comparison, options), *(_receipt(comparison))]
    parts = [f"**{table.title}**\n\n{_markdown_table(table)}" for table in tables if table.rows]
    parts.append("".join(f"- {sentence}\n" for sentence in conclusions(comparison)))
    if comparison.notes:
        parts.append("".join(f"- note: {note}\n" for note in comparison.notes))
    if comparison.pairs:
        parts.append(f"{METHOD}\n")
    return "\n".join(parts)


def _receipt(comparison: Comparison) -> list[TextTable]:
    return receipt_tables(comparison.receipt) if comparison.receipt else []


def _markdown_table(table: TextTable) -> str:
    headers = list(table.rows[0])
    lines = [[markdown_cell(header) for header in headers]]
    lines += [["---", *["---:" if header not in _LEFT else "---" for header in headers[1:]]]]
    lines += [[markdown_cell(value or "") for value in row.values()] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Everything that was measured and concluded, as plain values."""
    return {
        "schema_version": COMPARISON_SCHEMA_VERSION,
        "name": comparison.name,
        "dataset": comparison.dataset,
        "reference": comparison.reference,
        "variants": [_variant_document(comparison, variant) for variant in comparison.variants],
        "pairs": [_pair_document(pair) for pair in comparison.pairs],
        "conclusions": conclusions(comparison),
        "method": METHOD,
        "notes": list(comparison.notes),
        "receipt": receipt_document(comparison.receipt) if comparison.receipt else None,
        "cost": asdict(comparison.cost) if comparison.cost else None,
    }


def _variant_document(comparison: Comparison, variant: Variant) -> dict[str, Any]:
    means = comparison.means[variant.label]
    return {
        "label": variant.label,
        "settings": dict(variant.settings),
        "n": len(variant.runs),
        "means": {name: asdict(found) if found else None for name, found in means.items()},
        "runs": [
            {
                "run_id": run.run_id,
                "directory": run.directory,
                "seed": run.seed,
                "is_reused": run.is_reused,
                **run.figures,
            }
            for run in variant.runs
        ],
        "failures": [asdict(failure) for failure in variant.failures],
    }


def _pair_document(pair: Pair) -> dict[str, Any]:
    document = asdict(pair)
    return document | {"accuracy_is": accuracy_word(pair), "time_is": time_word(pair)}


def _flat_row(comparison: Comparison, variant: Variant) -> dict[str, object]:
    """One variant as a row of plain values, the same columns in every comparison but for the settings."""
    pair = comparison.pair(variant.label, comparison.reference or "")
    row: dict[str, object] = {"variant": variant.label, **variant.settings}
    row |= {"n": len(variant.runs), "n_failed": len(variant.failures)}
    for name in FIGURES:
        found = comparison.means[variant.label][name]
        row[name] = found.mean if found else None
        if name in ("accuracy", "loss"):
            row |= {f"{name}_low": found.low if found else None, f"{name}_high": found.high if found else None}
    accuracy, time = (pair.accuracy, pair.time) if pair else (None, None)
    row |= {
        "reference": comparison.reference,
        "accuracy_difference": accuracy.mean if accuracy else None,
        "accuracy_difference_low": accuracy.low if accuracy else None,
        "accuracy_difference_high": accuracy.high if accuracy else None,
        "accuracy_is": accuracy_word(pair),
        "time_ratio": time.mean if time else None,
        "time_ratio_low": time.low if time else None,
        "time_ratio_high": time.high if time else None,
        "time_is": time_word(pair),
    }
    return row | {"reason": variant.failures[0].reason if variant.failures else None}


def print_planned(cells: Sequence[PlannedCell], output_format: str) -> None:
    """The plan of a matrix and an estimate of the time, to stdout."""
    rows = [asdict(cell) for cell in cells]
    seconds, n_unknown = planned_seconds(cells)
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            document = {"schema_version": COMPARISON_SCHEMA_VERSION, "cells": rows, "seconds": seconds}
            sys.stdout.write(to_json(document | {"n_without_estimate": n_unknown}))
        case OutputFormat.CSV:
            print_csv(rows)
        case output:
            table = TextTable("the plan; nothing was run", tuple(_planned_row(cell) for cell in cells))
            if output is OutputFormat.MARKDOWN:
                write_text(_markdown_table(table))
            else:
                _print_table(result_console(), table)
                result_console().print(planned_sentence(cells), style="bold", markup=False)


def _planned_row(cell: PlannedCell) -> dict[str, str | None]:
    seconds = None if cell.state != "to run" else "?" if cell.seconds is None else f"{cell.seconds:.1f}"
    return {
        "variant": cell.label,
        "seed": str(cell.seed),
        "state": cell.state,
        "seconds": seconds,
        "reason": cell.reason,
    }


def planned_seconds(cells: Sequence[PlannedCell]) -> tuple[float, int]:
    """The estimate for the cells that have one, and the number of those that have none."""
    to_run = [cell.seconds for cell in cells if cell.state == "to run"]
    return sum(seconds for seconds in to_run if seconds is not None), to_run.count(None)


def planned_sentence(cells: Sequence[PlannedCell]) -> str:
    """How many cells would run, and how long that would take."""
    n_to_run = sum(cell.state == "to run" for cell in cells)
    seconds, n_unknown = planned_seconds(cells)
    unknown = f"; {n_unknown} of them unlike any finished run, so without an estimate" if n_unknown else ""
    about = f", about {seconds:,.0f} s and the start of their processes" if n_unknown < n_to_run else ""
    return f"{len(cells)} cells, {n_to_run} to run{about}{unknown}"


def write_comparison(
    comparison: Comparison, output_format: str, options: TableOptions, output: Path | None = None
) -> None:
    """Write to a file, whole or not at all, or to stdout; MlcliError for a file that cannot be written."""
    with stdout_into(output):
        if output_format == "html":
            from mlcli.compare.html import comparison_html

            write_text(comparison_html(comparison, options))
        else:
            print_comparison(comparison, output_format, options)
