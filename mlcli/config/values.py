"""The kinds of values that settings take."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from mlcli.config.messages import shown

Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
MOST_THREADS = 1024  # OpenMP ends the process where it cannot have as many as it is told
ThreadCount = Annotated[int, Field(ge=1, le=MOST_THREADS)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

_DEVICE = r"^(auto|cpu|mps|cuda(:[0-9]{1,4})?)$"
_SHA256 = r"^[0-9a-f]{64}$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_CLASS = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
# What no file system takes, or no terminal should see: control characters and line breaks.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_PATH_BYTES, _MAX_PART_BYTES = 4095, 255


class FrozenDict(dict[Any, Any]):
    """A dict that cannot change. Its values must be hashable, as `frozen` makes them."""

    def __hash__(self) -> int:  # type: ignore[override]  # dict sets it to None, because dicts change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[Any, Any]]]:
        return FrozenDict, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a configuration cannot change: load it again with other settings")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def frozen(value: Any) -> Any:
    """Plain data with dicts as FrozenDict and lists as tuples, all the way down."""
    if isinstance(value, dict):
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    """The inverse of `frozen`: plain dicts and lists."""
    if isinstance(value, dict):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thawed(item) for item in value]
    return value


def _device(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(_DEVICE, value.lower()):
        raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
    return value.lower()


def _run_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_NAME, value):
        raise ValueError(
            "must be 1 to 64 letters, digits, dots, dashes or underscores, the first of them a letter or digit"
        )
    return value


def _sha256(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(_SHA256, value):
        raise ValueError("must be the 64 hexadecimal digits of a sha256")
    return value


def _class_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_CLASS, value):
        raise ValueError("must be the name of a class, e.g. RandomForestClassifier")
    return value


def _run_reference(value: Any) -> Any:
    if isinstance(value, str) and not _may_name_a_run(value):
        raise ValueError("must be a directory, a run id, a unique prefix of one, or last")
    return value


def _may_name_a_run(text: str) -> bool:
    parts = text.encode("utf-8", "surrogatepass").split(b"/")
    n_bytes = sum(map(len, parts)) + len(parts) - 1
    is_path = 0 < n_bytes <= _MAX_PATH_BYTES and max(map(len, parts)) <= _MAX_PART_BYTES
    return is_path and not _CONTROL.search(text)


def _parameter_names(value: dict[str, Any]) -> dict[str, Any]:
    wrong = [name for name in value if not re.fullmatch(_CLASS, name)]
    if wrong:
        raise ValueError(f"an argument cannot be called {shown(wrong[0])}")
    return value


def _in_words(message: str) -> WrapValidator:
    """One message for a choice between kinds of values, where pydantic would report each kind on its own."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


def _pattern(pattern: str) -> Any:
    """What editors check while typing."""
    return Field(json_schema_extra={"pattern": pattern})


Device = Annotated[str, BeforeValidator(_device), _pattern(_DEVICE)]
RunName = Annotated[str, BeforeValidator(_run_name), _pattern(_NAME)]
ClassName = Annotated[str, BeforeValidator(_class_name), _pattern(_CLASS)]
RunReference = Annotated[str, BeforeValidator(_run_reference)]
Parameters = Annotated[dict[str, Any], AfterValidator(_parameter_names), AfterValidator(frozen)]
Sha256 = Annotated[str, BeforeValidator(_sha256), _pattern(_SHA256)]
TestPart = Annotated[
    Literal["auto", "train"] | Fraction, _in_words("must be auto, train, or a fraction above 0 and below 1")
]
ValidationPart = Annotated[
    Literal["test"] | Fraction | None, _in_words("must be a fraction above 0 and below 1, test, or null")
]
