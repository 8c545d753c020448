"""The output formats of every command, and the consoles that results and messages are printed to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape as escape_markup

from mlcli.errors import UsageError, unknown_name
from mlcli.files import disk_errors, write_whole
from mlcli.rendering import OutputFormat
from mlcli.rendering.log_file import is_open, log
from mlcli.rendering.streams import NARROWEST, WIDEST, encodable
from mlcli.text import printable

_SPINNER = "line"  # of ASCII characters
_N_NOTES = 100  # printed at once


def checked_format(name: str) -> OutputFormat:
    """Return the format of that name; UsageError, with the nearest match, if there is none."""
    try:
        return OutputFormat(name)
    except ValueError:
        known = [choice.value for choice in OutputFormat]
        raise UsageError(f"--format: {unknown_name('format', name, known)}") from None


def result_console() -> Console:
    """Return a console on stdout, for results. In a pipe nothing is wrapped, unless COLUMNS sets a width."""
    return _console(sys.stdout)


def message_console() -> Console:
    """Return a console on stderr, for progress, notes and errors."""
    return _console(sys.stderr, _LoggedConsole)


def progress_log(*, quiet: bool) -> Callable[[str], None]:
    """Return a function that prints lines of progress to stderr, or nothing if quiet."""
    console = message_console()
    return (lambda line: None) if quiet else lambda line: console.print(f"[dim]{escape(line)}[/dim]")


class _LoggedConsole(Console):
    """A console that adds to the log file what it prints, without the frames of progress bars."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        if is_open():
            plain = Console(file=io.StringIO(), width=WIDEST, color_system=None, force_terminal=False, highlight=False)
            plain.print(*objects, **options)
            log(plain.file.getvalue())  # type: ignore[attr-defined]


def _console(stream: TextIO, kind: type[Console] = Console) -> Console:
    has_width = stream.isatty() or bool(os.environ.get("COLUMNS"))
    console = kind(file=stream, width=None if has_width else WIDEST, highlight=False)
    if console.width < NARROWEST:
        console.width = NARROWEST
    return console


def escape(text: str) -> str:
    """Return the text for rich: nothing in it is read as markup, nor as a command to the terminal."""
    return escape_markup(encodable(printable(text)))


def write_text(text: str) -> None:
    """Write lines to stdout, with control characters escaped."""
    sys.stdout.write(printable(text))


def print_notes(notes: Sequence[str]) -> None:
    """Print the first 100 notes to stderr, one per line, and the number of the others."""
    console = message_console()
    more = [f"and {len(notes) - _N_NOTES:,} more notes"] if len(notes) > _N_NOTES else []
    for note in [*notes[:_N_NOTES], *more]:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")


@contextlib.contextmanager
def stdout_into(path: Path | None) -> Iterator[None]:
    """Write what the block prints to stdout to this file, when the block ends without an error; None: to stdout.

    MlcliError if the file cannot be written.
    """
    if path is None:
        yield
        return
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue().encode("utf-8"))


@contextlib.contextmanager
def stage_line(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what a command is doing if stderr is a terminal; yield a function that takes the text of each stage."""
    console = message_console()
    if quiet or not console.is_interactive:
        yield lambda text: None
        return
    with console.status("", spinner=_SPINNER) as status:
        yield lambda text: status.update(escape(text), spinner=_SPINNER)  # naming the spinner shows the text at once


@contextlib.contextmanager
def progress_bar(activity: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar if stderr is a terminal; yield a function that takes what is done and the total."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = message_console()
    columns = (TextColumn(activity), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    is_hidden = quiet or not console.is_interactive
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as progress:
        task = progress.add_task("", total=None)
        yield lambda n_done, n_samples: progress.update(task, completed=n_done, total=n_samples)
