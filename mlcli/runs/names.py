"""The names of run directories, `<utc>_<name>_<backend>_s<seed>_<random>`: the time and the short id in them."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_STAMP = re.compile(r"(\d{8})T(\d{6}(?:\d{3})?)Z_")
_SHORT_ID = re.compile(r"\d{8}T\d{6,9}Z_.*_([0-9a-f]{6,7})")
_N_DIGITS = len("yyyymmddhhmmssmmm")


def new_name(moment: datetime, experiment: str, backend: str, seed: int) -> str:
    """Return the name of a new run: the time in milliseconds, what it is, and a short id of seven characters.

    The short id begins with a letter, so that neither a person nor a program takes it for a number or a time.
    """
    short = secrets.choice("abcdef") + secrets.token_hex(3)
    stamp = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z"
    return f"{stamp}_{experiment}_{backend}_s{seed}_{short}"


def short_id(name: str) -> str | None:
    """Return the short id at the end of a name; None for a name that a person chose."""
    match = _SHORT_ID.fullmatch(name)
    return match[1] if match else None


def stamp_of(name: str) -> str | None:
    """Return the time at the start of a name as 17 digits, which sort by time; None for a name that a person chose."""
    match = _STAMP.match(name)
    return (match[1] + match[2]).ljust(_N_DIGITS, "0") if match else None


def as_stamp(created: str) -> str:
    """Return a time in ISO 8601 as 17 digits; empty for text that is none."""
    try:
        return f"{datetime.fromisoformat(created).astimezone(UTC):%Y%m%d%H%M%S%f}"[:_N_DIGITS]
    except (ValueError, OverflowError, OSError):
        return ""


def moment_of(stamp: str) -> datetime | None:
    """Return the time that 17 digits express; None for digits that are none."""
    try:
        return datetime.fromisoformat(f"{stamp[:8]}T{stamp[8:14]}.{stamp[14:]}+0000")
    except ValueError:
        return None
