"""The output formats that every command offers, and the consoles they are written to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.markup import escape as escape_markup

from mlcli.errors import MlcliError, UsageError, unknown_name
from mlcli.text import printable


class OutputFormat(StrEnum):
    """What stdout carries."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def checked_format(name: str) -> OutputFormat:
    """The format of that name; UsageError, with the nearest match, for one that does not exist."""
    try:
        return OutputFormat(name)
    except ValueError:
        known = [choice.value for choice in OutputFormat]
        raise UsageError(f"--format: {unknown_name('format', name, known)}") from None


# Wider than any table: a pipe has no edge, and a table takes only the width it needs.
_PIPE_WIDTH = 1000


def result_console() -> Console:
    """stdout, for results. In a pipe nothing is cut to 80 columns, unless COLUMNS asks for a width."""
    has_own_width = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    return Console(file=sys.stdout, width=None if has_own_width else _PIPE_WIDTH, highlight=False, soft_wrap=False)


def message_console() -> Console:
    """stderr, for progress, notes and errors."""
    has_own_width = sys.stderr.isatty() or bool(os.environ.get("COLUMNS"))
    return Console(file=sys.stderr, width=None if has_own_width else _PIPE_WIDTH, highlight=False)


def escape(text: str) -> str:
    """The text for rich, which takes nothing in it for markup, nor a terminal for a command."""
    return escape_markup(printable(text))


def write_text(text: str) -> None:
    """Write lines to stdout as they are, but for characters that a terminal would act on."""
    sys.stdout.write(printable(text))


def print_notes(notes: Iterable[str]) -> None:
    """One line a note."""
    console = message_console()
    for note in notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")


@contextlib.contextmanager
def stdout_into(path: Path | None) -> Iterator[None]:
    """What is printed to stdout inside goes to this file, whole or not at all; to stdout where path is None.

    MlcliError where the file cannot be written.
    """
    if path is None:
        yield
        return
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text.getvalue(), encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise MlcliError(f"--output {path}: cannot be written: {error.strerror or error}") from error
