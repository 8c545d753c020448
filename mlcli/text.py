"""Text that may come from anybody, made safe to show."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def escaped(text: str, limit: int | None = None) -> str:
    """Text without characters that a terminal would act on (or could not print), shortened to `limit` characters."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable(text: str) -> str:
    """The text with every character that a terminal would act on, or that cannot be encoded, written out.

    Line breaks stay: `\\x1b]0;title` becomes readable, and a note of two lines remains one of two lines.
    """
    return text if text.isprintable() else "\n".join(map(escaped, text.split("\n")))


def first_line(text: object, limit: int = 200) -> str:
    """What a message shows of a text or an error: its first line, printable and shortened."""
    lines = str(text).strip().splitlines()
    return escaped(lines[0], limit) if lines else ""


def to_json(value: Any) -> str:
    """One JSON document; numbers that are not finite become null, since JSON has no word for them.

    Characters that a terminal would act on are escaped, those too that JSON itself lets through.
    """
    text = json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        # Only within a string can there be any, for the rest of the document is ASCII.
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        # Bytes of a file name that are no text cannot be written in UTF-8.
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def comma_separated(text: str) -> list[str]:
    """Return the parts of `a,b,c` without surrounding blanks, each once; empty parts are dropped."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
