"""The kinds of values that settings take: scalars as YAML writes them, and the types of the schema's fields."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
)

from mlcli.text import is_utf8

T = TypeVar("T")
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
    """Return the value of an unquoted scalar; ValueError, with the reason, for a number that cannot be represented."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NOT_FINITE.match(text):
        raise ValueError("numbers must be finite")
    if _INTEGER.match(text) or _HEXADECIMAL_OR_OCTAL.match(text):
        if len(text) > _MAX_INTEGER_CHARACTERS:
            raise ValueError(_TOO_LARGE)
        return checked(int(text, 10 if _INTEGER.match(text) else 0))
    if _FLOAT.match(text):
        return checked(float(text))
    return text


def reads_as_text(text: str) -> bool:
    """Whether an unquoted scalar is text."""
    try:
        return isinstance(plain_scalar(text), str)
    except ValueError:
        return False


def checked(value: T) -> T:
    """Return the value; ValueError for a number or text that no file can hold: more than 64 bits, or not UTF-8."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(_TOO_LARGE)
    if isinstance(value, str) and not is_utf8(value):
        raise ValueError("the text is not UTF-8")
    return value


MOST_EPOCHS = 100_000  # what the history of a run may hold, so that it can be shown in little memory
MOST_THREADS = 1024  # OpenMP ends the process if it cannot start as many threads as it is told
Fraction = Annotated[float, Field(gt=0, lt=1)]
_DEVICE = r"^(auto|cpu|mps|cuda(:[0-9]{1,4})?)$"
_RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
_SHA256 = r"^[0-9a-f]{64}$"
PATTERN_MESSAGES = {
    _RUN_NAME: "must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit",
    _IDENTIFIER: "must be a plain name, e.g. SVC or max_depth",
    _SHA256: "must be the 64 hexadecimal digits of a sha256",
}
# What no file system accepts, or no terminal should see: control characters and line breaks.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_SIDE = 4096  # of an image that models are trained on
_HEIGHT_BY_WIDTH = r"^[0-9]{1,4}(x[0-9]{1,4})?$"
_MAX_PATH_BYTES, _MAX_PART_BYTES = 4095, 255


class FrozenDict(dict[Any, Any]):
    """A dict that cannot change. Its values must be hashable, as those from `frozen` are."""

    def __hash__(self) -> int:  # type: ignore[override]  # dict sets it to None, because dicts change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[Any, Any]]]:
        return FrozenDict, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a configuration cannot change; load it again with other settings")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def frozen(value: Any) -> Any:
    """Return plain data with every dict as FrozenDict and every list as tuple."""
    if isinstance(value, dict):
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    """Return plain dicts and lists: the inverse of `frozen`."""
    if isinstance(value, dict):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thawed(item) for item in value]
    return value


def _device(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_DEVICE, value.lower()):
        raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
    return value.lower()


def _possible_path(text: str, message: str) -> str:
    content = text.encode("utf-8", "surrogatepass")
    is_possible = 0 < len(content) <= _MAX_PATH_BYTES and max(map(len, content.split(b"/"))) <= _MAX_PART_BYTES
    if not is_possible or _CONTROL.search(text):
        raise ValueError(message)
    return text


def _image_size(value: Any) -> tuple[int, int] | None:
    """Return (height, width) of a number, a text HxW or a list of both."""
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(_HEIGHT_BY_WIDTH, value):
        height, _, width = value.partition("x")
        value = (int(height), int(width or height))
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= _MAX_SIDE for side in sides):
        raise ValueError(f"must be a number of pixels or HxW (height x width), each side from 1 to {_MAX_SIDE}")
    return sides


def _or_message(message: str) -> WrapValidator:
    """Return a validator with one message for a union of types, where pydantic would report on each type."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


Device = Annotated[str, BeforeValidator(_device), Field(json_schema_extra={"pattern": _DEVICE})]
RunName = Annotated[str, Field(pattern=_RUN_NAME)]
Identifier = Annotated[str, Field(pattern=_IDENTIFIER)]
Sha256 = Annotated[str, Field(pattern=_SHA256)]
RunReference = Annotated[
    str,
    AfterValidator(partial(_possible_path, message="must be a directory, a run id, a unique prefix of one, or last")),
]
FilePath = Annotated[str, AfterValidator(partial(_possible_path, message="must be the path of a file"))]
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
# By the end of its name, the largest value of a parameter. With more, scikit-learn fails or fills the memory.
_MOST = {"n_jobs": MOST_THREADS, "n_estimators": 100_000}


def _bounded(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of an estimator and its members; ValueError for a number that cannot be meant."""
    for name, number in _numbers("", parameters):
        for end, most in _MOST.items():
            if name.endswith(end) and number > most:
                raise ValueError(f"{name} must be at most {most:,}, got {number:,}")
    return parameters


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield every number in nested data with the innermost key above it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(str(key), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(name, item)
    elif isinstance(value, int | float):
        yield name, value


Parameters = Annotated[dict[Identifier, Any], AfterValidator(_bounded), AfterValidator(frozen)]
TestPart = Annotated[
    Literal["auto", "train"] | Fraction, _or_message("must be auto, train, or a fraction above 0 and below 1")
]
ValidationPart = Annotated[
    Literal["test"] | Fraction | None, _or_message("must be a fraction above 0 and below 1, test, or null")
]
ImageSize = Annotated[
    tuple[int, int] | None,
    PlainValidator(_image_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MAX_SIDE},
                {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                {"type": "string", "pattern": _HEIGHT_BY_WIDTH},
                {"type": "null"},
            ]
        }
    ),
]
Channels = Annotated[Literal[1, 3] | None, _or_message("must be 1, 3 or null")]
PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Base of every part of the schema: immutable, hashable, strict, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
