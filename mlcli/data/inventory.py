"""List, show, fetch and verify datasets: the work of `mlcli data`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mlcli.config.dataset import DatasetConfig
from mlcli.data.directory import data_directory, offline_requested
from mlcli.data.load import load_dataset
from mlcli.data.source import PresenceState, VerifyReport, dataset_source
from mlcli.errors import DataError
from mlcli.records import DatasetKind
from mlcli.registry import DATASETS, dataset_info
from mlcli.rendering import PlotFormat
from mlcli.rendering.console import checked_format, print_notes
from mlcli.rendering.plots import check_plots
from mlcli.rendering.tables import print_rows
from mlcli.text import escaped


@dataclass(frozen=True)
class ListedDataset:
    """A row of `mlcli data list`."""

    name: str
    title: str
    kind: DatasetKind
    shape: str  # of one sample, e.g. 1x28x28
    n_classes: int
    n_train_samples: int  # before any split
    n_test_samples: int  # 0 if the source has no test set
    state: PresenceState
    path: str | None


@dataclass(frozen=True)
class FetchedDataset:
    """A row of `mlcli data fetch`."""

    name: str
    n_fetched_files: int
    n_present_files: int  # kept, because their checksum was right
    path: str


@dataclass(frozen=True)
class VerifiedFile:
    """A row of `mlcli data verify`."""

    name: str  # of the dataset
    state: Literal["ok", "missing", "altered", "absent"]
    path: str | None
    detail: str


def list_datasets(data_dir: Path | None, output_format: str) -> None:
    """Print one row per dataset: what it contains and whether it is on this machine."""
    output, directory = checked_format(output_format), data_directory(data_dir)
    rows = [asdict(_listed(name, directory)) for name in DATASETS]
    print_rows("Datasets", rows, output, schema_version=2, optional=["path", "kind"])


@dataclass(frozen=True)
class ShowRequest:
    """Which dataset to show, and how."""

    name: str
    data_dir: Path | None = None  # None: the default directory
    offline: bool = False
    output_format: str = "table"
    plots_dir: Path | None = None  # directory for a picture; None: no picture
    plot_format: str = PlotFormat.PNG
    force: bool = False  # replace plots that exist
    quiet: bool = False  # neither progress nor notes


def show(request: ShowRequest) -> None:
    """Print shapes, types, ranges, class counts and first rows of a dataset, and write a picture of samples.

    UsageError for an unknown name, DataError for missing or altered data.
    """
    output = checked_format(request.output_format)
    check_plots(request.plots_dir, request.plot_format, force=request.force)
    config = DatasetConfig.model_validate({"name": dataset_info(request.name).name})
    log = _silent if request.quiet else _log
    dataset = load_dataset(config, data_dir=request.data_dir, offline=request.offline, log=log)
    # Only now: these import numpy.
    from mlcli.data.description import describe, print_description
    from mlcli.data.plots import save_samples

    print_description(describe(dataset), output)
    if request.plots_dir is not None:
        path = save_samples(dataset, request.plots_dir, request.plot_format)
        if not request.quiet:
            print_notes([f"wrote {path}"])


def fetch(names: Sequence[str], mirror: str | None, data_dir: Path | None, output_format: str, *, quiet: bool) -> None:
    """Fetch and prepare datasets, with progress on stderr unless quiet, and print one row per dataset.

    mirror: a folder that contains the files, flat or in torchvision's layout, or a base URL; None: the mirrors of each
    dataset. UsageError for an unknown name or an unusable mirror, DataError if files cannot be fetched.
    """
    output, directory, offline = checked_format(output_format), data_directory(data_dir), offline_requested(False)
    log = _silent if quiet else _log
    sources = [dataset_source(name) for name in names]  # refuses an unknown name before minutes of work
    reports = [source.fetch(directory, mirror, offline=offline, log=log) for source in sources]
    rows = [
        FetchedDataset(
            name=report.name,
            n_fetched_files=report.n_fetched,
            n_present_files=report.n_present,
            path="embedded in scikit-learn" if report.path is None else str(report.path),
        )
        for report in reports
    ]
    print_rows("Fetched", list(map(asdict, rows)), output, schema_version=2)


def clean(data_dir: Path | None) -> None:
    """Remove what was prepared from a person's own data, and print how much it was."""
    from mlcli.data.cached_folder import clean as remove

    n_removed, n_bytes = remove(data_directory(data_dir))
    print_notes([f"removed {n_removed:,} prepared tables and images, {n_bytes / 2**20:,.0f} MiB"])


def verify(names: Sequence[str], data_dir: Path | None, output_format: str) -> None:
    """Verify the checksums of datasets, of all if no name is given, and print one row per file.

    DataError if a file is altered, or if a dataset is incomplete. A dataset without any file counts as incomplete only
    if it is named.
    """
    output, directory = checked_format(output_format), data_directory(data_dir)
    sources = [dataset_source(name) for name in names or DATASETS]
    reports = [source.verify(directory) for source in sources]
    print_rows("Verified", [asdict(row) for report in reports for row in _verified(report)], output)
    problems = {report.name: _problems(report, is_named=bool(names)) for report in reports}
    lines = [line for found in problems.values() for line in found]
    if lines:
        others = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        affected = " ".join(name for name, found in problems.items() if found)
        raise DataError(f"{lines[0]}{others}\nfetch altered and missing files: mlcli data fetch {affected}")


def _silent(line: str) -> None:
    """Receive a line of progress that is not shown."""


def _log(line: str) -> None:
    print(escaped(line), file=sys.stderr, flush=True)


def _listed(name: str, directory: Path) -> ListedDataset:
    info, presence = dataset_info(name), dataset_source(name).presence(directory)
    return ListedDataset(
        name=name,
        title=info.title,
        kind=info.kind,
        shape="x".join(str(size) for size in info.input_shape),
        n_classes=info.n_classes,
        n_train_samples=info.n_train,
        n_test_samples=info.n_test,
        state=presence.state,
        path=None if presence.path is None else str(presence.path),
    )


def _verified(report: VerifyReport) -> list[VerifiedFile]:
    """Return one row per file; a single one for a dataset without any file."""
    if report.is_absent:
        return [VerifiedFile(report.name, "absent", None, "not downloaded")]
    return [VerifiedFile(report.name, check.state, str(check.path), check.detail) for check in report.checks]


def _problems(report: VerifyReport, *, is_named: bool) -> list[str]:
    """Return one line per problem. A missing file is a problem only if the dataset cannot be loaded without it."""
    if report.is_absent:
        return [f"{report.name} is not downloaded"] if is_named else []
    states = ("altered",) if report.usable else ("altered", "missing")
    return [f"{check.path} {check.detail}" for state in states for check in report.checks if check.state == state]
