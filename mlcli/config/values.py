"""The kinds of values that settings take."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:[0-9]{1,4})?)$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _device(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(DEVICE_PATTERN, value.lower()):
        raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
    return value.lower()


def _run_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            "must be 1 to 64 letters, digits, dots, dashes or underscores, the first of them a letter or digit"
        )
    return value


def _sha256(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(SHA256_PATTERN, value):
        raise ValueError("must be the 64 hexadecimal digits of a sha256")
    return value


def _in_words(message: str) -> WrapValidator:
    """One message for a choice between kinds of values, where pydantic would report each kind on its own."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


Device = Annotated[str, BeforeValidator(_device)]
RunName = Annotated[str, BeforeValidator(_run_name)]
Sha256 = Annotated[str, BeforeValidator(_sha256)]
TestPart = Annotated[
    Literal["auto", "train"] | Fraction, _in_words("must be auto, train, or a fraction above 0 and below 1")
]
ValidationPart = Annotated[
    Literal["test"] | Fraction | None, _in_words("must be a fraction above 0 and below 1, test, or null")
]
