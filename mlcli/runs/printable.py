"""Text that may come from anybody, made safe to show."""

from __future__ import annotations

from mlcli.config.faults import escaped


def printable(text: str) -> str:
    """The text with every character that a terminal would act on, or that cannot be encoded, written out.

    Line breaks stay: `\\x1b]0;title` becomes readable, and a note of two lines remains one of two lines.
    """
    return text if text.isprintable() else "\n".join(map(escaped, text.split("\n")))


def first_line(text: object, limit: int = 200) -> str:
    """What a message shows of a text or an error: its first line, printable and shortened."""
    lines = str(text).strip().splitlines()
    return escaped(lines[0], limit) if lines else ""
