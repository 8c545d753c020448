"""Issues in a configuration: location, key and message, safe to print on any terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlcli.errors import ConfigError, nearest_match
from mlcli.text import escaped

MAX_ISSUES_SHOWN = 100
MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class SourceLocation:
    """Where a value was written: a file with line and column (from 1), a flag, or an environment variable."""

    source: str
    line: int = 0  # 0: the source has no lines
    column: int = 0
    key: str = ""  # the key that a flag or a variable stands for, which messages need not repeat

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class ConfigIssue:
    """One problem. path is the dotted key, empty where the issue concerns the whole source."""

    location: SourceLocation
    path: str
    message: str

    def __str__(self) -> str:
        is_known = self.path in ("", self.location.key)
        return f"{self.location}: {self.message}" if is_known else f"{self.location}: {self.path}: {self.message}"


class UnreadableError(Exception):
    """A source cannot be read any further. Raised and caught inside this package only."""

    def __init__(self, location: SourceLocation, message: str, path: str = "") -> None:
        self.issue = ConfigIssue(location, path, message)
        super().__init__(str(self.issue))


def config_error(issues: Iterable[ConfigIssue]) -> ConfigError:
    """Return one error for all issues, without repetitions: files first, each by line, then flags and variables."""
    unique = list(dict.fromkeys(issues))
    ranks = {source: rank for rank, source in enumerate(dict.fromkeys(issue.location.source for issue in unique))}

    def rank(issue: ConfigIssue) -> tuple[bool, int, int, int, str]:
        location = issue.location
        return location.line == 0, ranks[location.source], location.line, location.column, issue.path

    lines = [str(issue) for issue in sorted(unique, key=rank)[:MAX_ISSUES_SHOWN]]
    if len(unique) > MAX_ISSUES_SHOWN:
        lines.append(f"... and {len(unique) - MAX_ISSUES_SHOWN} more issues")
    return ConfigError(lines)


def shown(value: object) -> str:
    """Return a value as messages show it: text in quotes, escaped and shortened; containers by their kind."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"'{escaped(value, MAX_SHOWN_CHARACTERS)}'"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    return escaped(str(value), MAX_SHOWN_CHARACTERS)


def key_path(parts: Iterable[str | int]) -> str:
    """Return `model.hidden[1]` for ("model", "hidden", 1)."""
    path = ""
    for part in parts:
        key = escaped(str(part), MAX_SHOWN_CHARACTERS) or "''"
        path += f"[{key}]" if isinstance(part, int) else f".{key}" if path else key
    return path


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)`, or nothing if the word is not text or no choice is similar."""
    guess = nearest_match(word[:MAX_SHOWN_CHARACTERS], list(choices)) if isinstance(word, str) else None
    return f" (did you mean {guess!r}?)" if guess else ""
