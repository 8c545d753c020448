"""The options of `mlcli predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlcli.cli import options
from mlcli.cli.options import command, output, source
from mlcli.predict import INPUT_SUFFIXES, PredictRequest, run
from mlcli.registry import alternatives
from mlcli.rendering import SCORE_SUFFIXES

predict = command(
    """Predict the class of new samples with a stored run.

    Writes the class and the class probabilities of every sample. Give raw values (pixels from 0 to 255, for example):
    the preprocessing stored in the run is applied to them. The dataset of the run is not needed.

    The shape of images is (n, 1, height, width), (n, height, width) or flat. The columns of tables are matched by name.

    Examples:
      mlcli predict last --input samples.npy --output labels.csv
      mlcli predict last --input people.csv --output labels.csv --keep id
      mlcli predict last --input images/ --output labels.parquet --force
    """,
    run,
    PredictRequest,
    run=options.RunArgument,
    input=Annotated[
        Path,
        source(
            "--input",
            "-i",
            help=f"File with samples: {alternatives(INPUT_SUFFIXES)}, an image or a folder of images.",
            metavar="FILE",
        ),
    ],
    output=Annotated[
        Path, output("--output", "-o", help=f"File to write: {alternatives(SCORE_SUFFIXES)}.", metavar="FILE")
    ],
    array=Annotated[
        str | None,
        source("--array", help="Name of the array in an .npz file. Default: x, or the only one.", metavar="NAME"),
    ],
    keep=Annotated[
        list[str] | None,
        output(
            "--keep", help="Carry a column of the input, such as an id, to the output. Repeatable.", metavar="COLUMN"
        ),
    ],
    force=options.Force,
    backend=options.OtherBackend,
    batch_size=options.PredictBatchSize,
    device=options.Device,
    threads=options.Threads,
    runs_dir=options.RunsDir,
    output_format=options.Format,
    quiet=options.Quiet,
)
