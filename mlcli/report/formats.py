"""The output formats that every command offers, and the consoles they are written to."""

from __future__ import annotations

import os
import sys
from enum import StrEnum

from rich.console import Console

from mlcli.errors import UsageError, unknown_name


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
