"""Tables in every output format."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from types import MappingProxyType

from rich.box import ROUNDED, SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from mlcli.rendering import OutputFormat, print_json
from mlcli.rendering.console import escape, result_console, write_text
from mlcli.rendering.streams import encodable
from mlcli.text import printable

_MIN_WIDTH = 46  # of a table of fields
_MAX_WORD = 24  # longer words may be broken
_NUMBER = re.compile(r"([+-]?\d[\d,.]*( ?(%|x|µs|ms|s|MiB))?( ± [\d.]+| \[.*\])?)?")  # or an empty cell
_WORD = re.compile(r"\S+( (±|\+/-) \S+)?")  # what is not wrapped
Row = Mapping[str, object]
Fields = Sequence[tuple[str, str]]  # label and value


def print_rows(
    title: str, rows: Sequence[Row], output_format: str, *, schema_version: int = 1, optional: Sequence[str] = ()
) -> None:
    """Print rows with the same keys to stdout: a table with a title, one JSON document, CSV or Markdown.

    JSON is `{"schema_version": ..., "rows": [...]}`. Values are printed unchanged; None is an empty cell.
    optional: see print_table.
    """
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            print_json({"schema_version": schema_version, "rows": list(rows)})
        case OutputFormat.CSV:
            print_csv(rows)
        case OutputFormat.MARKDOWN:
            print_markdown(rows)
        case OutputFormat.TABLE:
            print_table(title, rows, optional)


def print_table(
    title: str,
    rows: Sequence[Row],
    optional: Sequence[str] = (),
    *,
    droppable: Sequence[str] = (),
    styles: Mapping[str, str] = MappingProxyType({}),
    console: Console | None = None,
) -> None:
    """Print a table to stdout, or to another console, with numbers aligned to the right.

    If the terminal is too narrow, the frame is dropped first, then one column of `optional` after the other, which the
    caption lists. The remaining columns are wrapped between words. Numbers and words are not broken, except for long
    ones such as paths. If that does not suffice, columns of `droppable` are dropped likewise; a table that is still too
    wide extends beyond the edge. styles: of cells, by their text.
    """
    console = console or result_console()
    columns = {name: _column(name, [row[name] for row in rows]) for name in (rows[0] if rows else ())}
    layout = _FRAMED if _FRAMED.width([c.natural_width for c in columns.values()]) <= console.width else _OPEN
    hidden: list[str] = []
    for name in (*optional, *droppable):
        needed = [c.narrowest_width if name in droppable else c.natural_width for c in columns.values()]
        if name in columns and layout.width(needed) > console.width:
            del columns[name]
            hidden.append(_heading(name).replace("\n", " "))
    widths = layout.fitted(list(columns.values()), console.width)
    table = Table(box=layout.box, padding=layout.padding)
    for column, width in zip(columns.values(), widths, strict=True):
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(Text(column.texts[0]), justify=justify, width=width, overflow="fold")
    for cells in zip(*(column.texts[1:] for column in columns.values()), strict=True):
        table.add_row(*(Text(cell, styles.get(cell, "")) for cell in cells))
    if hidden:
        table.caption, table.caption_justify = f"not shown here: {', '.join(hidden)}", "left"
    _print_title(console, title)
    with _at_least(console, layout.width(widths)):
        console.print(table)


@contextmanager
def _at_least(console: Console, width: int) -> Iterator[None]:
    """Widen the console for what the block prints."""
    before = console.width
    console.width = max(before, width)
    try:
        yield
    finally:
        console.width = before


def _print_title(console: Console, title: str) -> None:
    """Print the title of the table that follows; as a part of the table it would be wrapped to the table's width."""
    if title:
        console.print(f"[bold]{escape(title)}[/bold]")


@dataclass(frozen=True)
class _Column:
    texts: list[str]  # the heading and the cells
    is_number: bool
    natural_width: int  # without wrapping
    narrowest_width: int  # of the longest number or word, or less for a long word


def _column(name: str, values: Sequence[object]) -> _Column:
    texts = [encodable(printable(text)) for text in (_heading(name), *map(format_cell, values))]
    is_number = all(map(_looks_like_number, values))
    natural_width = max(cell_len(line) for text in texts for line in text.split("\n"))
    longest = max((cell_len(word[0]) for text in texts for word in _WORD.finditer(text)), default=0)
    return _Column(texts, is_number, natural_width, longest if is_number else min(longest, _MAX_WORD))


@dataclass(frozen=True)
class _Layout:
    box: Box
    padding: tuple[int, int, int, int]
    n_between: int  # characters between the texts of two columns; one less surround all of them

    def width(self, widths: Sequence[int]) -> int:
        """Return the width of a table with columns of these widths."""
        return sum(widths) + self.n_between * len(widths) + 1

    def fitted(self, columns: Sequence[_Column], width: int) -> list[int]:
        """Return the natural widths, the widest of which are reduced until the table fits or no word can be wrapped."""
        widths = [column.natural_width for column in columns]
        narrowest = [column.narrowest_width for column in columns]
        while self.width(widths) > width and widths != narrowest:
            widest = max(range(len(widths)), key=lambda i: (widths[i] > narrowest[i], widths[i]))
            widths[widest] -= 1
        return widths


_FRAMED = _Layout(ROUNDED, (0, 1, 0, 1), 3)
_OPEN = _Layout(SIMPLE_HEAD, (0, 1, 0, 0), 2)


def print_fields(title: str, sections: Sequence[Fields]) -> None:
    """Print a table of labels and values to stdout, with a line between sections.

    Values that do not fit and cannot be wrapped, such as paths and run ids, follow below it on lines of their own.
    """
    console = result_console()
    label_width = max(
        (cell_len(encodable(printable(label))) for section in sections for label, _ in section), default=0
    )
    value_width = console.width - _FRAMED.width([label_width, 0])
    table = Table(box=ROUNDED, show_header=False)
    table.min_width = _MIN_WIDTH
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", overflow="fold")
    below: list[str] = []
    for section in sections:
        for label, value in section:
            if cell_len(encodable(printable(value))) > value_width and " " not in value:
                below.append(printable(f"{label}: {value}"))
            else:
                table.add_row(escape(label), escape(value))
        table.add_section()
    _print_title(console, title)
    console.print(table)
    for line in below:
        console.print(line, markup=False, soft_wrap=True)


def print_summary(
    title: str, sections: Sequence[Fields], row: Row, document: Mapping[str, object], output_format: str
) -> None:
    """Print one result to stdout: its sections as a table or as Markdown, its row as CSV, or its JSON document."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            print_json(document)
        case OutputFormat.CSV:
            print_csv([row])
        case OutputFormat.MARKDOWN:
            print_markdown([{title: label, "": value} for section in sections for label, value in section])
        case OutputFormat.TABLE:
            print_fields(title, sections)


def print_csv(rows: Sequence[Row]) -> None:
    """Print a header and one line per row to stdout."""
    if rows:
        text = StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(text.getvalue())


def print_markdown(rows: Sequence[Row]) -> None:
    """Print a pipe table to stdout."""
    write_text(markdown_table(rows))


def markdown_table(rows: Sequence[Row]) -> str:
    """Return rows as a pipe table; vertical bars in cells are escaped."""
    lines = [[_heading(name) for name in rows[0]], ["---"] * len(rows[0])] if rows else []
    lines += [[format_cell(value) for value in row.values()] for row in rows]
    cells = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def format_cell(value: object) -> str:
    """Return a value as text: four significant digits, thousands separated, empty for None."""
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
        return _NUMBER.fullmatch(value) is not None
    return value is None or isinstance(value, int | float)


def _heading(name: str) -> str:
    """Return the name of a field as words; labels with a value and parameters such as svc__C unchanged."""
    return name if "=" in name or "__" in name else name.removeprefix("n_").replace("_", " ")
