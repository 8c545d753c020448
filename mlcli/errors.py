"""The errors that mlcli raises, and the exit code of each.

Every message is one to three lines, ready to be printed: what failed, where, and what to do next. Any other exception
that leaves a command is a bug in mlcli.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit status of the process."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    DATA = 3
    DIVERGED = 4
    OUT_OF_MEMORY = 5
    PARTIAL_FAILURE = 6
    THRESHOLD_MISSED = 7
    WORSE = 9
    SIGHUP = 129
    SIGINT = 130
    SIGTERM = 143


class MlcliError(Exception):
    """Raised when something fails that no other class describes, e.g. a file that cannot be written. Exit code 1."""

    exit_code = ExitCode.FAILURE


class UsageError(MlcliError):
    """Raised for options, arguments or settings that are invalid or cannot be combined. Exit code 2."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """Raised once for all issues in a configuration, with a line for each in `issues`. Exit code 2."""

    def __init__(self, issues: Sequence[str]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(self.issues))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[str, ...]]]:
        return type(self), (self.issues,)  # pickled as it is created


class DataError(MlcliError):
    """Raised for data that is missing, truncated, altered, or not what was expected. Exit code 3."""

    exit_code = ExitCode.DATA


class DivergedError(MlcliError):
    """Raised when the loss or a weight becomes NaN or infinite during training. Exit code 4."""

    exit_code = ExitCode.DIVERGED


class OutOfMemoryError(MlcliError):
    """Raised when the memory of the device or the host is exhausted. Exit code 5."""

    exit_code = ExitCode.OUT_OF_MEMORY


class PartialFailureError(MlcliError):
    """Raised after a comparison in which some runs failed; the results of the others are kept. Exit code 6."""

    exit_code = ExitCode.PARTIAL_FAILURE


class ThresholdError(MlcliError):
    """Raised when a result misses a threshold, such as that of --fail-under. Exit code 7."""

    exit_code = ExitCode.THRESHOLD_MISSED


class WorseError(MlcliError):
    """Raised when a variant is significantly less accurate than the runs of --fail-if-worse. Exit code 9."""

    exit_code = ExitCode.WORSE


def out_of_memory(error: BaseException, advice: str) -> OutOfMemoryError | None:
    """Return the error to raise instead, with advice, if an error of any library means that memory ran out."""
    # torch.OutOfMemoryError is recognised by name, so that torch need not be imported; torch's CPU allocator raises a
    # plain RuntimeError.
    text = str(error)
    allocator_failed = re.search("DefaultCPUAllocator: (can't allocate|not enough) memory", text)
    # A shared library that an import loads.
    mapping_failed = isinstance(error, ImportError) and "failed to map segment" in text
    is_memory_error = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not (is_memory_error or allocator_failed or mapping_failed):
        return None
    first_line = (text or type(error).__name__).splitlines()[0]
    return OutOfMemoryError(f"out of memory: {first_line}\n{advice}")


@contextmanager
def translated_memory_errors(advice: str) -> Iterator[None]:
    """Raise OutOfMemoryError, with advice, in place of the errors that Python, numpy and torch raise."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        translated = out_of_memory(error, advice)
        if translated is None:
            raise
        raise translated from error


def batch_advice(batch_size: int | None) -> str:
    """Return advice for when a batch does not fit into memory."""
    if batch_size and batch_size > 1:
        return f"batch_size was {batch_size}; --batch-size {batch_size // 2} may fit"
    return "use fewer samples (--limit)"


def nearest_match(word: str, choices: Sequence[str]) -> str | None:
    """Return the choice that is most similar to `word`, or None if none is."""
    import difflib

    matches = difflib.get_close_matches(word.lower(), [choice.lower() for choice in choices], n=1, cutoff=0.5)
    return next((choice for choice in choices if matches and choice.lower() == matches[0]), None)


def unknown_name(kind: str, word: str, choices: Sequence[str]) -> str:
    """Return the message for an unknown name: the name, the nearest match and the known names."""
    guess = nearest_match(word, choices)
    hint = f" (did you mean {guess!r}?)" if guess else ""
    shown = ", ".join(choices) if len(choices) <= 12 else f"{len(choices)} names"
    return f"unknown {kind} {word!r}{hint}; known: {shown}"
