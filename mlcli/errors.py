"""The errors that mlcli raises on purpose, and the exit code of each.

MlcliError                 1  something failed; the message says what, where and what to do next
├── UsageError             2  flags or arguments that cannot be carried out
│   └── ConfigError        2  one or more issues in a configuration, each with its place
├── DataError              3  data that is missing, truncated or altered
├── DivergedError          4  the loss became NaN or infinite
├── OutOfMemoryError       5  the device or the host ran out of memory
├── PartialFailureError    6  some runs of a matrix failed
└── ThresholdError         7  a --fail-under threshold was missed

Every message is one to three lines, ready to be printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    DATA = 3
    DIVERGED = 4
    OUT_OF_MEMORY = 5
    PARTIAL_FAILURE = 6
    THRESHOLD_MISSED = 7
    SIGHUP = 129
    SIGINT = 130
    SIGTERM = 143


class MlcliError(Exception):
    """Base of every error that mlcli raises on purpose."""

    exit_code = ExitCode.FAILURE


class UsageError(MlcliError):
    """Flags, arguments or settings that cannot be carried out."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """Faults in a configuration, reported all at once, one line each."""

    def __init__(self, issues: Sequence[str]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(self.issues))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[str, ...]]]:
        return type(self), (self.issues,)  # pickled as it is created


class DataError(MlcliError):
    """Data that is missing, truncated or altered."""

    exit_code = ExitCode.DATA


class DivergedError(MlcliError):
    """The loss became NaN or infinite."""

    exit_code = ExitCode.DIVERGED


class OutOfMemoryError(MlcliError):
    """The device or the host ran out of memory."""

    exit_code = ExitCode.OUT_OF_MEMORY


class PartialFailureError(MlcliError):
    """Some runs of a matrix failed; the others are kept."""

    exit_code = ExitCode.PARTIAL_FAILURE


class ThresholdError(MlcliError):
    """A threshold given with --fail-under was missed."""

    exit_code = ExitCode.THRESHOLD_MISSED


def nearest_match(word: str, choices: Sequence[str]) -> str | None:
    """The choice that `word` was probably meant to be, or None."""
    import difflib

    matches = difflib.get_close_matches(word.lower(), [choice.lower() for choice in choices], n=1, cutoff=0.5)
    return next((choice for choice in choices if matches and choice.lower() == matches[0]), None)


def unknown_name(kind: str, word: str, choices: Sequence[str]) -> str:
    """The message for a name that is not in a table: what was given, the nearest match, what there is."""
    guess = nearest_match(word, choices)
    hint = f" (did you mean {guess!r}?)" if guess else ""
    shown = ", ".join(choices) if len(choices) <= 12 else f"{len(choices)} names"
    return f"unknown {kind} {word!r}{hint}; known: {shown}"
