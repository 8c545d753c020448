"""`mlcli data`: list, show, fetch and verify datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.completion import completed
from mlcli.cli.options import Commands, DataDir, Force, Format, Offline, PlotFormatName, Quiet, SavePlots, source
from mlcli.registry import DATASETS, alternatives

app = Commands(help="List, show, fetch and verify datasets.", no_args_is_help=True)


@app.command("list")
def list_datasets(data_dir: DataDir = None, output_format: Format = "table") -> None:
    """List all datasets and whether they are on this machine, judged by file names and sizes.

    Examples:
      mlcli data list
      mlcli data list --data-dir data --format json
    """
    from mlcli.data import inventory

    inventory.list_datasets(data_dir, output_format)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help=f"{alternatives(DATASETS)}.", autocompletion=completed(DATASETS))
    ],
    plots_dir: SavePlots = None,
    plot_format: PlotFormatName = "png",
    force: Force = False,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Format = "table",
    quiet: Quiet = False,
) -> None:
    """Show shapes, types, ranges and class counts of a dataset; for tables also features and first rows.

    The split is the one that experiments use by default. --save-plots writes a picture of training samples.

    Examples:
      mlcli data show iris
      mlcli data show digits --save-plots plots
    """
    from mlcli.data import inventory

    inventory.show(inventory.ShowRequest(name, data_dir, offline, output_format, plots_dir, plot_format, force, quiet))


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help=f"{alternatives(DATASETS)}.", autocompletion=completed(DATASETS))
    ],
    mirror: Annotated[
        str | None,
        source(
            "--from",
            help="A folder that contains the files, flat or in torchvision's layout, or an http(s) address to which "
            "the file names are appended. Default: the mirrors that torchvision uses.",
            metavar="DIR|URL",
        ),
    ] = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
    quiet: Quiet = False,
) -> None:
    """Download datasets into the data directory and prepare them; valid files are kept.

    Examples:
      mlcli data fetch fashion
      mlcli data fetch mnist fashion --from /path/to/a/copy --data-dir data
    """
    from mlcli.data import inventory

    inventory.fetch(names, mirror, data_dir, output_format, quiet=quiet)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Default: all datasets.", autocompletion=completed(DATASETS)),
    ] = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
) -> None:
    """Verify checksums; exit with 3 if a file is altered, or if a named dataset is incomplete.

    Examples:
      mlcli data verify
      mlcli data verify fashion --data-dir data
    """
    from mlcli.data import inventory

    inventory.verify(names or [], data_dir, output_format)
