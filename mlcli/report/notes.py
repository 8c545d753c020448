"""Notes on stderr: what the reader of a result must know."""

from __future__ import annotations

from collections.abc import Iterable

from mlcli.report.formats import message_console
from mlcli.report.safe_text import escape


def print_notes(notes: Iterable[str]) -> None:
    """One line a note."""
    console = message_console()
    for note in notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
