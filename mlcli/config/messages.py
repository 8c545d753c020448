"""Faults of a configuration: where, which key, what is wrong; safe to print on any terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlcli.errors import ConfigError, nearest_match
from mlcli.text import escaped

MAX_ISSUES_SHOWN = 100
_MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class SourceLocation:
    """Where a value was written: a file with line and column (from 1), a flag, or an environment variable."""

    source: str
    line: int = 0  # 0: the source has no lines
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class ConfigIssue:
    """One thing that is wrong. path is the dotted key, empty where the issue is of the whole source."""

    place: SourceLocation
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"


class UnreadableError(Exception):
    """A source that cannot be read any further. Stays within this room, where it becomes a ConfigError."""

    def __init__(self, issues: Iterable[ConfigIssue]) -> None:
        self.issues = list(issues)
        super().__init__("\n".join(map(str, self.issues)))


def config_error(issues: Iterable[ConfigIssue]) -> ConfigError:
    """All issues as one error: each once, files before flags and variables, in the order of the lines."""
    unique = list(dict.fromkeys(issues))
    sources = {source: rank for rank, source in enumerate(dict.fromkeys(issue.place.source for issue in unique))}
    unique.sort(key=lambda issue: _rank(issue, sources))
    lines = [str(issue) for issue in unique[:MAX_ISSUES_SHOWN]]
    if len(unique) > MAX_ISSUES_SHOWN:
        lines.append(f"... and {len(unique) - MAX_ISSUES_SHOWN} more issues")
    return ConfigError(lines)


def _rank(issue: ConfigIssue, sources: dict[str, int]) -> tuple[bool, int, int, int, str]:
    place = issue.place
    return place.line == 0, sources[place.source], place.line, place.column, issue.path


def shown(value: object) -> str:
    """A value as a message shows it: text in quotes, escaped and shortened; containers by their kind."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{escaped(value, _MAX_SHOWN_CHARACTERS)}'"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return escaped(str(value), _MAX_SHOWN_CHARACTERS)


def key_path(parts: Iterable[str | int]) -> str:
    """`model.hidden[1]` for ("model", "hidden", 1)."""
    path = ""
    for part in parts:
        key = escaped(str(part), _MAX_SHOWN_CHARACTERS) or "''"
        path += f"[{key}]" if isinstance(part, int) else f".{key}" if path else key
    return path


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no choice is near."""
    guess = nearest_match(str(word)[:_MAX_SHOWN_CHARACTERS], list(choices))
    return f" (did you mean {guess!r}?)" if guess else ""
