"""Rows of plain values, printed in the format that was asked for."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from io import StringIO

from rich.box import ROUNDED, SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table

from mlcli.rendering.console import OutputFormat, escape, result_console, write_text
from mlcli.text import to_json

_NO_EDGE = 10_000
Row = Mapping[str, object]
Fields = Sequence[tuple[str, str]]  # label and value


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


def print_table(title: str, rows: Sequence[Row], optional: Sequence[str] = ()) -> None:
    """A table on stdout; numbers to the right.

    Where the terminal is too narrow, the frame goes first, then one column of `optional` after the other; the table
    says which.
    """
    console = result_console()
    table = _table(title, rows, ROUNDED)
    if _width(table, console) > console.width:
        table = _table(title, rows, SIMPLE_HEAD)
    left_out: list[str] = []
    for name in optional:
        if not rows or _width(table, console) <= console.width:
            break
        left_out.append(name)
        rows = [{key: value for key, value in row.items() if key != name} for row in rows]
        table = _table(title, rows, SIMPLE_HEAD)
        table.caption = f"not shown here: {', '.join(map(_words, left_out))}"
    console.print(table)


def _width(table: Table, console: Console) -> int:
    """The width that the table would take where nothing holds it in."""
    return console.measure(table, options=console.options.update_width(_NO_EDGE)).maximum


def _table(title: str, rows: Sequence[Row], box: Box) -> Table:
    table = Table(title=escape(title), box=box, title_justify="left", title_style="bold", caption_justify="left")
    if box is SIMPLE_HEAD:
        table.padding = (0, 1, 0, 0)
    for name in rows[0] if rows else ():
        is_number = all(_looks_like_number(row[name]) for row in rows)
        table.add_column(escape(_words(name)), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell(value)) for value in row.values()))
    return table


def print_fields(title: str, sections: Sequence[Fields]) -> None:
    """A table of labels and values on stdout, with a line between sections."""
    table = Table(
        title=escape(title), box=ROUNDED, show_header=False, title_justify="left", title_style="bold", min_width=46
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", overflow="fold")
    for section in sections:
        for label, value in section:
            table.add_row(escape(label), escape(value))
        table.add_section()
    result_console().print(table)


def print_csv(rows: Sequence[Row]) -> None:
    """A header and a line a row on stdout."""
    if rows:
        text = StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(text.getvalue())


def print_markdown(rows: Sequence[Row]) -> None:
    """A pipe table on stdout."""
    if not rows:
        return
    lines = [[markdown_cell(_words(name)) for name in rows[0]], ["---"] * len(rows[0])]
    lines += [[markdown_cell(cell(value)) for value in row.values()] for row in rows]
    write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def markdown_cell(text: str) -> str:
    """The text on one line, and in one cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def print_markdown_fields(title: str, sections: Sequence[Fields]) -> None:
    """A pipe table of labels and values on stdout, the title as the first header."""
    print_markdown([{title: label, "": value} for section in sections for label, value in section])


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


def _looks_like_number(value: object) -> bool:
    if isinstance(value, str):
        return value.replace(",", "").replace(".", "").isdecimal()
    return value is None or isinstance(value, int | float)


def _words(name: str) -> str:
    return name.replace("_", " ")
