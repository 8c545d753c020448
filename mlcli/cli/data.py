"""`mlcli data`: list, fetch and verify datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.options import DataDir, Debug, Format
from mlcli.data.registry import DATASETS

app = typer.Typer(help="List, fetch and verify datasets.", no_args_is_help=True)

_NAMES = ", ".join(DATASETS)


@app.command("list")
def list_datasets(data_dir: DataDir = None, output_format: Format = "table", debug: Debug = False) -> None:
    """List all datasets and whether they are on this machine, judged by file names and sizes."""
    from mlcli.data import inventory

    inventory.list_datasets(data_dir, output_format)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help=f"One or more of {_NAMES}.")],
    mirror: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A folder that contains the files, flat or in torchvision's layout, or an http(s) address to which "
            "the file names are appended [default: the mirrors that torchvision uses].",
            metavar="DIR|URL",
        ),
    ] = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
    debug: Debug = False,
) -> None:
    """Download datasets into the data directory and prepare them; valid files are kept."""
    from mlcli.data import inventory

    inventory.fetch(names, mirror, data_dir, output_format)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Any of {_NAMES} [default: all downloaded ones].")
    ] = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
    debug: Debug = False,
) -> None:
    """Verify checksums; exit with 3 if a file is altered, or if a named dataset is incomplete."""
    from mlcli.data import inventory

    inventory.verify(names or [], data_dir, output_format)
