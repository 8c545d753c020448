"""Every option and argument that more than one command has, declared once.

A command narrows what it needs with a help text of its own only where the meaning differs.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mlcli.cli.completion import (
    Completion,
    completed,
    completed_configs,
    completed_list,
    completed_runs,
    completed_settings,
)
from mlcli.config.flags import CONFIG_KEYS
from mlcli.config.shipped import find_config
from mlcli.registry import BACKENDS, DATASETS, MODELS, OPTIMIZERS, alternatives
from mlcli.rendering import OutputFormat, PlotFormat
from mlcli.rendering.log_file import open_log

EXPERIMENT_PANEL = "Experiment"
OWN_DATA_PANEL = "Your own data"
RUN_PANEL = "Execution"
OUTPUT_PANEL = "Output"
# In the help; panels of single commands are 2.
_PANEL_RANKS = {EXPERIMENT_PANEL: 0, OWN_DATA_PANEL: 1, RUN_PANEL: 3, OUTPUT_PANEL: 4}

DEBUG_VARIABLE = "MLCLI_DEBUG"

CONFIG_REFERENCE = "A YAML file, or a name that `mlcli config list` shows"
RUN_REFERENCE = "a directory, a run id, its last 7 characters, a unique prefix of either, or last"


def option(
    *flags: str, panel: str, names: Iterable[str] | None = None, complete: Completion | None = None, **settings: Any
) -> Any:
    """Return a typer.Option in a panel of the help. Shells complete its value with `names`, or by `complete`."""
    completion = completed(names) if names is not None else complete
    return typer.Option(*flags, rich_help_panel=panel, autocompletion=completion, **settings)


experiment = functools.partial(option, panel=EXPERIMENT_PANEL)
own_data = functools.partial(option, panel=OWN_DATA_PANEL)
execution = functools.partial(option, panel=RUN_PANEL)
output = functools.partial(option, panel=OUTPUT_PANEL)
source = functools.partial(option, panel="Input")
verification = functools.partial(option, panel="Verification")

# What is run.
ConfigArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG",
        help=f"{CONFIG_REFERENCE}. Default: built-in settings and flags.",
        parser=find_config,
        autocompletion=completed_configs,
    ),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help=f"A finished run: {RUN_REFERENCE}.", autocompletion=completed_runs)
]
Backend = Annotated[
    str | None, experiment("--backend", "-b", help=f"Engine: {alternatives(BACKENDS)}.", names=BACKENDS)
]
Backends = Annotated[
    str | None,
    experiment(
        "--backend",
        "-b",
        help=f"One engine or several: {alternatives(BACKENDS)}.",
        metavar="A,B,...",
        complete=completed_list(BACKENDS),
    ),
]
OtherBackend = Annotated[
    str | None,
    experiment(
        "--backend",
        "-b",
        help="Use this engine with the weights of the run. Default: the engine of the run.",
        names=BACKENDS,
    ),
]
DatasetName = Annotated[
    str | None, experiment("--dataset", "-d", help=f"Dataset: {alternatives(DATASETS)}.", names=DATASETS)
]
# A person's own data.
DataFile = Annotated[
    str | None,
    own_data(
        "--data",
        help="Instead of --dataset: a table (.csv, .tsv, .txt, also .gz, .data, or .parquet), arrays (.npz, .npy), or "
        "a folder of images, .npy or IDX files.",
        metavar="PATH",
    ),
]
Target = Annotated[str | None, own_data("--target", help="Column of a table with the labels.", metavar="COLUMN")]
TestFile = Annotated[
    str | None, own_data("--test-data", help="Test samples, of the same kind as --data.", metavar="PATH")
]
ValidationFile = Annotated[
    str | None, own_data("--validation-data", help="Validation samples, of the same kind as --data.", metavar="PATH")
]
Group = Annotated[
    str | None,
    own_data(
        "--group", help="Column, e.g. of patients, whose values never occur on two sides of a split.", metavar="COLUMN"
    ),
]
Time = Annotated[
    str | None, own_data("--time", help="Column of numbers or dates: test on the latest rows.", metavar="COLUMN")
]
SplitColumn = Annotated[
    str | None,
    own_data("--split-column", help="Column that says train, validation or test for each row.", metavar="COLUMN"),
]
ImageSize = Annotated[
    str | None,
    own_data(
        "--image-size",
        help="Height and width to which images are resized. Default: their own if all have the same, else 64.",
        metavar="N|HxW",
    ),
]
OnBad = Annotated[
    str | None,
    own_data(
        "--on-bad",
        help="What to do about damaged images or rows: stop (default), or skip them with a note.",
        metavar="stop|skip",
        names=("stop", "skip"),
    ),
]
OWN_DATA = {
    "data": DataFile,
    "target": Target,
    "test_data": TestFile,
    "validation_data": ValidationFile,
    "group": Group,
    "time": Time,
    "split_column": SplitColumn,
    "image_size": ImageSize,
    "on_bad": OnBad,
}
ModelName = Annotated[str | None, experiment("--model", "-m", help=f"Model: {alternatives(MODELS)}.", names=MODELS)]
BatchSize = Annotated[int | None, experiment("--batch-size", help="Samples per training step.", metavar="N")]
OptimizerName = Annotated[
    str | None, experiment("--optimizer", help=f"Optimizer: {alternatives(OPTIMIZERS)}.", names=OPTIMIZERS)
]
LearningRate = Annotated[float | None, experiment("--lr", help="Learning rate.", metavar="RATE")]
Seed = Annotated[
    int | None, experiment("--seed", help="Seed of initial weights, batch order and dropout.", metavar="N")
]
Limit = Annotated[int | None, experiment("--limit", help="Use only the first N training samples.", metavar="N")]
Settings = Annotated[
    list[str] | None,
    experiment(
        "--set",
        help="Set any configuration key, e.g. optimizer.momentum=0.9. Repeatable.",
        metavar="KEY=VALUE",
        complete=completed_settings,
    ),
]

# How it is run.
Device = Annotated[
    str | None,
    execution("--device", help="auto, cpu, cuda, cuda:N or mps.", names=("auto", "cpu", "cuda", "cuda:0", "mps")),
]
Threads = Annotated[
    int | None,
    execution(
        "--threads", min=1, help="CPU threads of every library. Default: as configured, else all cores.", metavar="N"
    ),
]
PredictBatchSize = Annotated[int, execution("--batch-size", min=1, help="Samples per prediction step.", metavar="N")]
RunsDir = Annotated[
    Path, execution("--runs-dir", help="Directory of all runs.", envvar="MLCLI_RUNS_DIR", metavar="DIR")
]
DataDir = Annotated[
    Path | None,
    execution("--data-dir", help="Directory of the datasets. Default: $MLCLI_DATA_DIR, else a cache.", metavar="DIR"),
]
Offline = Annotated[bool, execution("--offline", help="Never use the network. Also: MLCLI_OFFLINE=1.")]

# What is printed and written.
Format = Annotated[
    str,
    output(
        "--format", "-f", help=f"Output format: {alternatives(OutputFormat)}.", metavar="FORMAT", names=OutputFormat
    ),
]
Output = Annotated[
    Path | None, output("--output", "-o", help="Write the result to this file, not to stdout.", metavar="FILE")
]
SavePlots = Annotated[Path | None, output("--save-plots", help="Write plots to this directory.", metavar="DIR")]
PlotFormatName = Annotated[
    str,
    output("--plot-format", help=f"Format of plots: {alternatives(PlotFormat)}.", metavar="FORMAT", names=PlotFormat),
]
FailUnder = Annotated[
    list[str] | None,
    output(
        "--fail-under",
        help="Exit with code 7 if a score is below this, e.g. accuracy=0.85. Repeatable.",
        metavar="METRIC=X",
    ),
]
FailAbove = Annotated[
    list[str] | None,
    output(
        "--fail-above",
        help="Exit with code 7 if a score for which lower is better is above this, e.g. loss=0.3. Repeatable.",
        metavar="METRIC=X",
    ),
]
Force = Annotated[bool, output("--force", help="Replace files that exist.")]
Quiet = Annotated[bool, output("--quiet", "-q", help="Print no progress and no notes.")]


def _open_log(path: Path | None) -> Path | None:
    if path is not None:
        open_log(path)
    return path


LogFile = Annotated[
    Path | None,
    output("--log-file", help="Append progress, notes and errors to this file.", metavar="FILE", callback=_open_log),
]


def _enable_debug(value: bool) -> bool:
    if value:
        os.environ[DEBUG_VARIABLE] = "1"
    return value


Debug = Annotated[bool, output("--debug", help="Show the traceback of an error.", callback=_enable_debug)]


def command(help_text: str, run: Callable[[Any], None], request_type: type, /, **options: Any) -> Callable[..., None]:
    """Return a command that builds one request from its options and calls `run` with it.

    options: annotated types, by field of the request, whose default is the default of the option, or by name in
    CONFIG_KEYS, which sets that key in the `flags` of the request; `log_file` has acted when it was parsed. An option
    that is not given keeps its default.
    """
    fields = {field.name: field for field in dataclasses.fields(request_type)}
    keys = {name: CONFIG_KEYS[name] for name in options if name not in fields and name != "log_file"}
    parameters = [_parameter(name, annotation, fields.get(name)) for name, annotation in options.items()]

    def call(**values: Any) -> None:
        given = {name: value for name, value in values.items() if value is not None and name != "log_file"}
        if keys:
            values = {key: given.pop(name) for name, key in keys.items() if name in given}
            given["flags"] = {key: value for key, value in values.items() if value is not False}
        run(request_type(**given))

    call.__doc__ = help_text
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _parameter(name: str, annotation: Any, field: dataclasses.Field[Any] | None) -> inspect.Parameter:
    default = None if field is None or field.default == () else field.default
    if field is not None and default is dataclasses.MISSING:
        default = inspect.Parameter.empty if field.default_factory is dataclasses.MISSING else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


class Commands(typer.Typer):
    """A group of commands, each of which also accepts --debug, and --quiet even if it says nothing but its result."""

    def command(  # type: ignore[override]
        self, name: str | None = None, **settings: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a command; see typer.Typer.command."""
        register = super().command(name, **settings)

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            register(_with_common_options(function))
            return function

        return add


def _with_common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function, eval_str=True)
    common = {"quiet": Quiet, "debug": Debug}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in common.items()
        if name not in signature.parameters
    ]

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        for parameter in added:
            del arguments[parameter.name]
        function(**arguments)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    parameters = sorted([*parameters, *added], key=_panel_rank)
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__doc__ = "\n\n".join(map(_paragraph, (inspect.getdoc(function) or "").split("\n\n")))
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del command.__wrapped__
    return command


def _panel_rank(parameter: inspect.Parameter) -> int:
    declaration = parameter.annotation.__metadata__[0]
    return _PANEL_RANKS.get(declaration.rich_help_panel, 2)


def _paragraph(text: str) -> str:
    """Return a paragraph of help as one line, for typer keeps the line breaks of the source; examples keep theirs."""
    if text.startswith("Examples:"):
        return "\b\n" + text.replace("[", r"\[")  # \b: lines as they are; a bracket would be read as markup
    return " ".join(text.split())
