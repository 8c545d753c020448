"""JSON as every part of mlcli writes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# Deletion, the second set of control characters, and those that turn the direction of writing. Only a string can hold
# them, for outside of strings the document is ASCII.
_CONTROL = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def to_json(value: Any) -> str:
    """One JSON document; numbers that are not finite become null, since JSON has no word for them.

    Characters that a terminal would act on are escaped, those too that JSON itself lets through.
    """
    text = json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"


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
