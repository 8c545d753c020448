"""`mlcli data`: which datasets are there, bringing them in, holding them against their checksums."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import Commands, DataDir, Format

if TYPE_CHECKING:
    from mlcli.data.source import VerifyReport

Row = dict[str, object]

app = Commands(help="List, fetch and verify datasets.", no_args_is_help=True)


@app.command("list")
def list_datasets(data_dir: DataDir = None, output_format: Format = "table") -> None:
    """Show every dataset, and whether it is on this machine, judged by names and sizes."""
    _check_format(output_format)
    _print("Datasets", dataset_rows(data_dir), output_format)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="iris, digits, mnist, fashion.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A folder that holds the files, flat or as torchvision keeps them, or an http(s) address that the "
            "file names are added to; without it, the mirrors that torchvision knows.",
            metavar="DIR|URL",
        ),
    ] = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
) -> None:
    """Bring datasets into the data directory and prepare them; files that are whole stay as they are."""
    _check_format(output_format)
    _print("Fetched", fetch_rows(names, source, data_dir), output_format)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Without a name, every dataset that is there.")
    ] = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
) -> None:
    """Hold every file against its checksum; exit code 3 where one is altered, or where a named dataset is not whole."""
    from mlcli.data import inventory
    from mlcli.errors import DataError
    from mlcli.registry import DATASETS, dataset_info

    _check_format(output_format)
    for name in names or ():
        dataset_info(name)  # refuse an unknown name before minutes of reading
    reports = [inventory.verify(name, data_dir) for name in names or DATASETS]
    _print("Verified", [row for report in reports for row in verify_rows(report)], output_format)
    faults = [line for report in reports for line in _faults(report, is_named=bool(names))]
    if faults:
        bad = " ".join(report.name for report in reports if _faults(report, is_named=bool(names)))
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{others}\nbring in what is altered or missing: mlcli data fetch {bad}")


def dataset_rows(data_dir: Path | None) -> list[Row]:
    """One row a dataset."""
    from mlcli.data import inventory
    from mlcli.registry import dataset_info

    rows: list[Row] = []
    for name, presence in inventory.presences(data_dir).items():
        info = dataset_info(name)
        rows.append(
            {
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
        )
    return rows


def fetch_rows(names: list[str], source: str | None, data_dir: Path | None) -> list[Row]:
    """Fetch, telling progress on stderr; one row a dataset."""
    from mlcli.data import inventory
    from mlcli.registry import dataset_info

    for name in names:
        dataset_info(name)  # refuse an unknown name before minutes of fetching
    reports = [inventory.fetch(name, data_dir, source, log=_say) for name in names]
    return [
        {
            "name": report.name,
            "fetched_files": report.n_fetched,
            "files_already_there": report.n_present,
            "path": "embedded in scikit-learn" if report.path is None else str(report.path),
        }
        for report in reports
    ]


def verify_rows(report: VerifyReport) -> list[Row]:
    """One row a file; a single one for a dataset of which nothing is there."""
    if _is_absent(report):
        return [{"name": report.name, "state": "absent", "path": None, "detail": "nothing of it is there"}]
    return [
        {"name": report.name, "state": check.state, "path": str(check.path), "detail": check.detail}
        for check in report.checks
    ]


def _faults(report: VerifyReport, is_named: bool) -> list[str]:
    """What is wrong; a dataset that is absent is in order unless it was asked for by name."""
    if not report.usable and _is_absent(report):
        return [f"{report.name} is not there"] if is_named else []
    faults = [f"{check.path} {check.detail}" for check in report.altered]
    if not report.usable:
        faults += [f"{check.path} is missing" for check in report.checks if check.state == "missing"]
    return faults


def _is_absent(report: VerifyReport) -> bool:
    return all(check.state == "missing" for check in report.checks)


def _check_format(output_format: str) -> None:
    from mlcli.rendering.console import checked_format

    checked_format(output_format)


def _print(title: str, rows: list[Row], output_format: str) -> None:
    from mlcli.rendering.tables import print_rows

    print_rows(title, rows, output_format)


def _say(line: str) -> None:
    from mlcli.text import escaped

    typer.echo(escaped(line), err=True)
