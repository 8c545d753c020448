"""Text on its way to a terminal or a file: names, notes and errors may come from anybody."""

from __future__ import annotations

import sys

from rich.markup import escape as escape_markup

from mlcli.runs.printable import printable


def escape(text: str) -> str:
    """The text for rich, which takes nothing in it for markup, nor a terminal for a command."""
    return escape_markup(printable(text))


def write_text(text: str) -> None:
    """Write lines to stdout as they are, but for characters that a terminal would act on."""
    sys.stdout.write(printable(text))
