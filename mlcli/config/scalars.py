"""What a plain YAML scalar means: the core schema of YAML 1.2 rather than the surprises of YAML 1.1.

`1e-3` is a number; only true and false are booleans (yes, no, on and off are text); `012` is twelve; dates and
`1:30` are text. Digits may be grouped with underscores, as in Python.
"""

from __future__ import annotations

import math
import re

Scalar = None | bool | int | float | str

_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_INTEGER = re.compile(rf"[-+]?{_DIGITS}\Z")
_HEXADECIMAL_OR_OCTAL = re.compile(r"0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
_FLOAT = re.compile(rf"[-+]?(?:\.{_DIGITS}|{_DIGITS}(?:\.(?:{_DIGITS})?)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_MAX_INTEGER_CHARACTERS = 80
_TOO_LARGE = "the number is too large (text belongs in quotes)"


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar. ValueError, with the reason, for a number that cannot be held."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NOT_FINITE.match(text):
        raise ValueError("numbers must be finite")
    if _INTEGER.match(text):
        return _integer(text, 10)
    if _HEXADECIMAL_OR_OCTAL.match(text):
        return _integer(text, 0)
    if _FLOAT.match(text):
        return checked_number(float(text))
    return text


def _integer(text: str, base: int) -> int | float:
    if len(text) > _MAX_INTEGER_CHARACTERS:
        raise ValueError(_TOO_LARGE)
    return checked_number(int(text, base))


def checked_number(number: int | float) -> int | float:
    """The number itself; ValueError where it is not finite or needs more than 64 bits."""
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("numbers must be finite")
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise ValueError(_TOO_LARGE)
    return number


def checked_text(text: str) -> str:
    """The text itself; ValueError where it holds what no file could: bytes of an argument that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the text is not UTF-8") from None
    return text
