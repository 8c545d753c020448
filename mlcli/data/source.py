"""What every source of data offers, and the records it answers with."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from mlcli.registry import dataset_row

if TYPE_CHECKING:
    from mlcli.records import Split

Log = Callable[[str], None]  # takes one line about what is going on
PresenceState = Literal["embedded", "prepared", "raw only", "incomplete", "absent"]
FileState = Literal["ok", "missing", "altered"]


@dataclass(frozen=True)
class SourceData:
    """Everything a source holds, before any split is made. test is None where the source has no test set."""

    train: Split
    test: Split | None
    fingerprint: str  # sha256 over the content, see fingerprint.py


@dataclass(frozen=True)
class Presence:
    """Whether a dataset is there, judged by names and sizes alone."""

    state: PresenceState
    path: Path | None  # None where it is embedded or absent


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did. path is None for embedded data."""

    name: str
    n_fetched: int  # files brought in now
    n_present: int  # files that were already there, with the right checksum
    path: Path | None


@dataclass(frozen=True)
class FileCheck:
    """One file held against its checksum."""

    path: Path
    state: FileState
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """A dataset held against its checksums. usable: it can be loaded without a network."""

    name: str
    checks: tuple[FileCheck, ...]
    usable: bool

    @property
    def altered(self) -> tuple[FileCheck, ...]:
        return tuple(check for check in self.checks if check.state == "altered")


class Source(Protocol):
    """Where the samples of one dataset come from. DataError for what is missing or altered."""

    def read(self, data_dir: Path, *, offline: bool, log: Log) -> SourceData:
        """All samples, fetched first where they are not there."""
        ...

    def presence(self, data_dir: Path) -> Presence:
        """Whether the dataset is there; opens no file."""
        ...

    def fetch(self, data_dir: Path, origin: str | None, *, offline: bool, log: Log) -> FetchReport:
        """Bring the files into data_dir, from a folder or a URL where origin names one, and prepare them."""
        ...

    def verify(self, data_dir: Path) -> VerifyReport:
        """Hold every file against its checksum; changes nothing."""
        ...


def dataset_source(name: str) -> Source:
    """Return where the samples of a dataset come from; imports the module of the source, and no framework."""
    row = dataset_row(name)
    return cast("Source", pkgutil.resolve_name(row.source)(row.info))
