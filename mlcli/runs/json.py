"""JSON of a run, read back within bounds: what comes out is small, finite, shallow and safe to show."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any, TypeVar, cast

from mlcli.text import printable

_MAX_DEPTH = 16
_MAX_DIGITS = 20

T = TypeVar("T")


def parsed_json(data: bytes) -> dict[str, Any]:
    """The object in a JSON document; ValueError, in a line, for anything else.

    Refused are nesting beyond 16 levels, numbers that are not finite or need more than 64 bits, and text that is not
    Unicode. Control characters in texts are written out, but for line breaks.
    """
    try:
        document = json.loads(
            data.decode("utf-8"), parse_int=_integer, parse_float=_float, parse_constant=_refused_constant
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return {printable(key): _bounded(value, 1) for key, value in document.items()}


_TOO_DEEP = f"nested more than {_MAX_DEPTH} levels deep"


def _bounded(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        value.encode("utf-8")  # half a surrogate pair is a UnicodeEncodeError, which is a ValueError
        return printable(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= _MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, list):
        return [_bounded(item, depth + 1) for item in value]
    return {printable(key): _bounded(item, depth + 1) for key, item in value.items()}


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{_shown(digits)} needs more than 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{_shown(digits)} is too large")
    return number


def _refused_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _shown(digits: str) -> str:
    return digits if len(digits) <= _MAX_DIGITS else f"a number of {len(digits):,} digits"


def typed(kind: type[T], document: dict[str, Any]) -> T:
    """A dataclass of what `parsed_json` gave, every field of its type; ValueError naming the first that is not.

    Keys that the dataclass does not have are left out.
    """
    from pydantic import ValidationError

    from mlcli.config.messages import key_path

    try:
        record: T = _adapter(cast("Any", kind)).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{key_path(first['loc'])}: {first['msg'].lower()}") from None
    return record


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
