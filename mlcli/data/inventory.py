"""List, show, fetch and verify datasets: the work of `mlcli data`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mlcli.config.schema import DatasetConfig
from mlcli.data.directory import data_directory, offline_requested
from mlcli.data.load import load_dataset
from mlcli.data.source import VerifyReport, dataset_source
from mlcli.errors import DataError
from mlcli.registry import DATASETS, dataset_info
from mlcli.rendering.console import checked_format, print_notes
from mlcli.rendering.plots import check_plots
from mlcli.rendering.tables import Row, print_rows
from mlcli.text import escaped


def list_datasets(data_dir: Path | None, output_format: str) -> None:
    """Print one row per dataset: what it contains and whether it is on this machine."""
    output, directory = checked_format(output_format), data_directory(data_dir)
    print_rows("Datasets", [_list_row(name, directory) for name in DATASETS], output)


def show(
    name: str, data_dir: Path | None, output_format: str, *, offline: bool, plots_dir: Path | None, plot_format: str
) -> None:
    """Print shapes, types, ranges, class counts and first rows of a dataset; with plots_dir, write a picture too.

    UsageError for an unknown name, DataError for missing or altered data.
    """
    output = checked_format(output_format)
    if plots_dir is not None:
        check_plots(plot_format)
    config = DatasetConfig.model_validate({"name": dataset_info(name).name})
    dataset = load_dataset(config, data_dir=data_dir, offline=offline, log=_log)
    from mlcli.data.description import describe, print_description  # imports numpy

    print_description(describe(dataset), output)
    if plots_dir is not None:
        from mlcli.data.plots import save_samples

        print_notes([f"wrote {save_samples(dataset, plots_dir, plot_format)}"])


def fetch(names: Sequence[str], mirror: str | None, data_dir: Path | None, output_format: str) -> None:
    """Fetch and prepare datasets, with progress on stderr, and print one row per dataset.

    mirror: a folder that contains the files, flat or in torchvision's layout, or a base URL; None: the mirrors of each
    dataset. UsageError for an unknown name or an unusable mirror, DataError if files cannot be fetched.
    """
    output, directory, offline = checked_format(output_format), data_directory(data_dir), offline_requested(False)
    sources = [dataset_source(name) for name in names]  # refuses an unknown name before minutes of work
    reports = [source.fetch(directory, mirror, offline=offline, log=_log) for source in sources]
    rows: list[Row] = [
        {
            "name": report.name,
            "fetched_files": report.n_fetched,
            "files_already_there": report.n_present,
            "path": "embedded in scikit-learn" if report.path is None else str(report.path),
        }
        for report in reports
    ]
    print_rows("Fetched", rows, output)


def verify(names: Sequence[str], data_dir: Path | None, output_format: str) -> None:
    """Verify the checksums of datasets, of all if no name is given, and print one row per file.

    DataError if a file is altered, or if a dataset is incomplete. A dataset without any file counts as incomplete only
    if it is named.
    """
    output, directory = checked_format(output_format), data_directory(data_dir)
    sources = [dataset_source(name) for name in names or DATASETS]
    reports = [source.verify(directory) for source in sources]
    print_rows("Verified", [row for report in reports for row in _verify_rows(report)], output)
    problems = {report.name: _problems(report, is_named=bool(names)) for report in reports}
    lines = [line for found in problems.values() for line in found]
    if lines:
        others = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        affected = " ".join(name for name, found in problems.items() if found)
        raise DataError(f"{lines[0]}{others}\nfetch altered and missing files: mlcli data fetch {affected}")


def _log(line: str) -> None:
    print(escaped(line), file=sys.stderr, flush=True)


def _list_row(name: str, directory: Path) -> Row:
    info, presence = dataset_info(name), dataset_source(name).presence(directory)
    return {
        "name": name,
        "title": info.title,
        "kind": info.kind,
        "shape": "x".join(str(size) for size in info.input_shape),
        "classes": info.n_classes,
        "train_samples": info.n_train,
        "test_samples": info.n_test,
        "state": presence.state,
        "path": None if presence.path is None else str(presence.path),
    }


def _verify_rows(report: VerifyReport) -> list[Row]:
    """Return one row per file; a single one for a dataset without any file."""
    if report.is_absent:
        return [{"name": report.name, "state": "absent", "path": None, "detail": "not downloaded"}]
    return [
        {"name": report.name, "state": check.state, "path": str(check.path), "detail": check.detail}
        for check in report.checks
    ]


def _problems(report: VerifyReport, *, is_named: bool) -> list[str]:
    """Return one line per problem. A missing file is a problem only if the dataset cannot be loaded without it."""
    if report.is_absent:
        return [f"{report.name} is not downloaded"] if is_named else []
    states = ("altered",) if report.usable else ("altered", "missing")
    return [f"{check.path} {check.detail}" for state in states for check in report.checks if check.state == state]
