"""Rows of delimited text that have more or fewer cells than the header: found, counted, and left out on request."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from mlcli.text import listed

N_LISTED = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is written. line: the number of its first line, from 1. n_cells: 0 for an empty line."""

    text: str
    line: int
    n_cells: int


def written_rows(lines: Iterable[str], delimiter: str) -> Iterator[Row]:
    """Yield the rows of delimited text; a row with quotes may have several lines.

    ValueError for a quote that is not closed.
    """
    number = 0
    rest = iter(lines)
    for line in rest:
        number += 1
        if '"' not in line:
            text = line.rstrip("\r\n")
            yield Row(line, number, text.count(delimiter) + 1 if text.strip(" ") else 0)
            continue
        taken: list[str] = []
        cells = next(csv.reader(_kept(chain([line], rest), taken, number), delimiter=delimiter))
        yield Row("".join(taken), number, len(cells))
        number += len(taken) - 1


def _kept(lines: Iterable[str], taken: list[str], number: int) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line
    raise ValueError(f"line {number}: EOF inside string: a quote is not closed")


def bad_rows(rows: Iterable[Row], n_cells: int) -> Iterator[Row]:
    """Yield the rows that are not empty and have another number of cells."""
    return (row for row in rows if row.n_cells not in (0, n_cells))


def described(count: int, places: list[str]) -> str:
    """Return the number of damaged rows and where the first of them are."""
    shown = listed([*places[:N_LISTED], *[""] * (count - min(count, N_LISTED))], N_LISTED)
    return f"{count:,} damaged {'row' if count == 1 else 'rows'}: {shown}"


class GoodRows(io.TextIOBase):
    """The text of rows without the damaged ones, of which it receives the line numbers."""

    def __init__(self, rows: Iterator[Row], n_cells: int, bad_lines: list[int]) -> None:
        self._texts = self._good(rows, n_cells, bad_lines)
        self._text = ""

    @staticmethod
    def _good(rows: Iterator[Row], n_cells: int, bad_lines: list[int]) -> Iterator[str]:
        for row in rows:
            if row.n_cells in (0, n_cells) or row.line == 1:
                yield row.text
            else:
                bad_lines.append(row.line)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        limit = float("inf") if size is None or size < 0 else size
        parts, length = [self._text], len(self._text)
        while length < limit and (text := next(self._texts, None)) is not None:
            parts.append(text)
            length += len(text)
        content = "".join(parts)
        end = len(content) if size is None or size < 0 else size
        self._text = content[end:]
        return content[:end]

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # pandas asks for it
        return self._texts
