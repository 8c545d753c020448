"""Text of any origin made safe to print, and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any


def escaped(text: str, limit: int | None = None) -> str:
    """Return text with every character escaped that a terminal would act on or cannot print.

    limit: the number of characters before escaping; longer text ends in "...".
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable(text: str) -> str:
    """Return text with every character escaped that a terminal would act on or cannot print, except line breaks."""
    return text if text.isprintable() else "\n".join(map(escaped, text.split("\n")))


def is_utf8(text: str) -> bool:
    """Return whether text can be written in UTF-8; a file name with other bytes cannot."""
    return re.search("[\ud800-\udfff]", text) is None


def first_line(text: object, limit: int = 200) -> str:
    """Return the first line of a text for a message, escaped and shortened; of an error without a text, its type."""
    lines = str(text).strip().splitlines()
    if not lines and isinstance(text, BaseException):
        return type(text).__name__
    return escaped(lines[0], limit) if lines else ""


def is_number(text: str) -> bool:
    """Return whether a text is a number, nan and inf included."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_json(value: Any, *, ascii_only: bool = False) -> str:
    """Return one JSON document. Numbers that are not finite become null, because JSON cannot express them.

    Characters that a terminal would act on are escaped, including those that JSON permits unescaped; with ascii_only
    all that are not ASCII.
    """
    text = json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=ascii_only)
    if not text.replace("\n", "").isprintable():
        # Such characters occur only in strings, because the rest of the document is ASCII.
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        # Bytes of a file name that do not decode cannot be written in UTF-8.
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


def listed(texts: Sequence[str], n_shown: int) -> str:
    """Return the first texts with the number of the others: "a, b and 3 more"."""
    more = f" and {len(texts) - n_shown:,} more" if len(texts) > n_shown else ""
    return ", ".join(texts[:n_shown]) + more
