"""`mlcli data`: list, show, fetch and verify datasets, and inspect data of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.completion import completed
from mlcli.cli.options import (
    Commands,
    DataDir,
    Force,
    Format,
    Group,
    ImageSize,
    Offline,
    OnBad,
    PlotFormatName,
    Quiet,
    SavePlots,
    Settings,
    SplitColumn,
    Target,
    TestFile,
    Time,
    ValidationFile,
    source,
)
from mlcli.registry import DATASETS, alternatives

app = Commands(help="List, show, fetch and verify datasets; inspect data of your own.", no_args_is_help=True)


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


_FILE = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A table (.csv, .tsv, .txt, also .gz, .data, or .parquet), arrays (.npz, .npy), or a folder of images, "
        ".npy or IDX files; or a configuration (.yaml) that names one.",
        show_default=False,
    ),
]


@app.command()
def inspect(
    path: _FILE,
    target: Target = None,
    group: Group = None,
    time: Time = None,
    split_column: SplitColumn = None,
    test_data: TestFile = None,
    validation_data: ValidationFile = None,
    image_size: ImageSize = None,
    on_bad: OnBad = None,
    settings: Settings = None,
    data_dir: DataDir = None,
    output_format: Format = "table",
) -> None:
    """Show how data of your own are understood, column by column, and what looks wrong in them.

    Columns are judged by the rows of the training split: ids, constant columns and columns that alone predict the
    target; also columns that say the same, rare classes, imbalance, test rows that are equal to training rows, columns
    that look like groups or times, and damaged images.

    Examples:
      mlcli data inspect penguins.csv --target species
      mlcli data inspect arrays.npz
      mlcli data inspect penguins.yaml --set dataset.test=0.3
      mlcli data inspect photos/
    """
    from mlcli.data.own import inspection

    request = inspection.InspectRequest(
        path,
        target,
        test_data,
        validation_data,
        group,
        time,
        split_column,
        image_size,
        on_bad,
        tuple(settings or ()),
        data_dir,
    )
    inspection.inspect(request, output_format)


@app.command()
def init(
    path: _FILE,
    target: Target = None,
    group: Group = None,
    time: Time = None,
    split_column: SplitColumn = None,
    test_data: TestFile = None,
    validation_data: ValidationFile = None,
    image_size: ImageSize = None,
    on_bad: OnBad = None,
    settings: Settings = None,
    data_dir: DataDir = None,
) -> None:
    """Print a configuration for data of your own, to be edited; for a table with the kind of every column.

    Examples:
      mlcli data init penguins.csv --target species > penguins.yaml
    """
    from mlcli.data.own import initial_config, inspection

    request = inspection.InspectRequest(
        path,
        target,
        test_data,
        validation_data,
        group,
        time,
        split_column,
        image_size,
        on_bad,
        tuple(settings or ()),
        data_dir,
    )
    sys.stdout.write(initial_config.init(request))


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
def clean(data_dir: DataDir = None) -> None:
    """Remove what was prepared from data of your own; it is prepared again when it is used.

    Examples:
      mlcli data clean
    """
    from mlcli.data import inventory

    inventory.clean(data_dir)


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
