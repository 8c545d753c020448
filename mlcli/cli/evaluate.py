"""The options of `mlcli evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlcli.cli import options
from mlcli.cli.options import command, experiment, output, own_data
from mlcli.evaluate import SPLITS, EvaluateRequest, run
from mlcli.registry import DATASETS, alternatives
from mlcli.rendering import SCORE_SUFFIXES

evaluate = command(
    """Score a finished run from its directory alone, after verifying its checksums.

    Examples:
      mlcli evaluate last
      mlcli evaluate last --misclassified 5 --save-plots plots
      mlcli evaluate last --output scores.csv
      mlcli evaluate last --backend sklearn --format json
    """,
    run,
    EvaluateRequest,
    run=options.RunArgument,
    split=Annotated[
        str | None,
        experiment(
            "--split",
            help=f"Split to score: {alternatives(SPLITS)}. Default: test, and all rows of a table that is not the one "
            "of the run.",
            names=SPLITS,
        ),
    ],
    backend=options.OtherBackend,
    dataset=Annotated[
        str | None,
        experiment(
            "--dataset",
            "-d",
            help="Another dataset with samples of the same shape. Default: the dataset of the run.",
            names=DATASETS,
        ),
    ],
    data=Annotated[
        Path | None,
        own_data(
            "--data",
            help="Another file like that of the run; for a run with a test file, another one of these. Default: the "
            "files of the run.",
            metavar="FILE",
        ),
    ],
    on_bad=options.OnBad,
    batch_size=options.PredictBatchSize,
    n_misclassified=Annotated[
        int,
        output("--misclassified", min=0, help="List N misclassified samples, the most confident first.", metavar="N"),
    ],
    output=Annotated[
        Path | None,
        output(
            "--output",
            "-o",
            help="Write the class, the prediction, the logits and the probabilities of every sample to this file: "
            f"{alternatives(SCORE_SUFFIXES)}.",
            metavar="FILE",
        ),
    ],
    plots_dir=options.SavePlots,
    plot_format=options.PlotFormatName,
    force=options.Force,
    device=options.Device,
    threads=options.Threads,
    runs_dir=options.RunsDir,
    data_dir=options.DataDir,
    offline=options.Offline,
    output_format=options.Format,
    fail_under=options.FailUnder,
    fail_above=options.FailAbove,
    quiet=options.Quiet,
)
