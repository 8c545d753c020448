"""Rows of plain values, printed in the format that was asked for."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence

from rich.box import ROUNDED
from rich.markup import escape
from rich.table import Table

from mlcli.report.formats import OutputFormat, result_console
from mlcli.runs import to_json

Row = Mapping[str, object]


def print_rows(title: str, rows: Sequence[Row], output_format: str, *, schema_version: int = 1) -> None:
    """Print rows that share their keys to stdout: a table with a title, one JSON document, CSV or Markdown.

    JSON is `{"schema_version": ..., "rows": [...]}`. Values are shown as they are; None is an empty cell.
    """
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json({"schema_version": schema_version, "rows": list(rows)}))
        case OutputFormat.CSV:
            print_csv(rows)
        case OutputFormat.MARKDOWN:
            print_markdown(rows)
        case OutputFormat.TABLE:
            print_table(title, rows)


def print_table(title: str, rows: Sequence[Row]) -> None:
    """A table on stdout; numbers to the right."""
    table = Table(title=escape(title), box=ROUNDED, title_justify="left", title_style="bold")
    for name in rows[0] if rows else ():
        is_number = all(isinstance(row[name], int | float) or row[name] is None for row in rows)
        table.add_column(escape(_words(name)), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell(value)) for value in row.values()))
    result_console().print(table)


def print_csv(rows: Sequence[Row]) -> None:
    """A header and a line a row on stdout."""
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def print_markdown(rows: Sequence[Row]) -> None:
    """A pipe table on stdout."""
    if not rows:
        return
    lines = [list(map(_words, rows[0])), ["---"] * len(rows[0])] + [
        [cell(value).replace("|", "\\|") for value in row.values()] for row in rows
    ]
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))


def cell(value: object) -> str:
    """A value as a person reads it: four significant digits, thousands separated, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
