"""Every option and argument that more than one command has, declared once.

A command narrows what it needs with a help text of its own only where the meaning differs.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mlcli.registry import BACKENDS, DATASETS, MODELS, OPTIMIZERS, alternatives

EXPERIMENT_PANEL = "Experiment"
RUN_PANEL = "Execution"
OUTPUT_PANEL = "Output"

DEBUG_VARIABLE = "MLCLI_DEBUG"

_FORMATS = ("table", "json", "csv", "markdown")
_RUN = "a directory, a run id, a unique prefix of one, or last"


def completed(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completion function for shells: the names that begin with what is typed."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def _experiment(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel=EXPERIMENT_PANEL, **settings)


def _execution(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel=RUN_PANEL, **settings)


def _output(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel=OUTPUT_PANEL, **settings)


# What is run.
ConfigArgument = Annotated[
    Path | None, typer.Argument(help="A YAML file, e.g. configs/digits_mlp.yaml. Default: built-in settings and flags.")
]
RunArgument = Annotated[str, typer.Argument(help=f"A finished run: {_RUN}.")]
Backend = Annotated[
    str | None,
    _experiment("--backend", "-b", help=f"Engine: {alternatives(BACKENDS)}.", autocompletion=completed(BACKENDS)),
]
OtherBackend = Annotated[
    str | None,
    _experiment(
        "--backend",
        "-b",
        help="Use this engine with the weights of the run. Default: the engine of the run.",
        autocompletion=completed(BACKENDS),
    ),
]
DatasetName = Annotated[
    str | None,
    _experiment("--dataset", "-d", help=f"Dataset: {alternatives(DATASETS)}.", autocompletion=completed(DATASETS)),
]
ModelName = Annotated[
    str | None, _experiment("--model", "-m", help=f"Model: {alternatives(MODELS)}.", autocompletion=completed(MODELS))
]
BatchSize = Annotated[int | None, _experiment("--batch-size", help="Samples per training step.", metavar="N")]
OptimizerName = Annotated[
    str | None,
    _experiment("--optimizer", help=f"Optimizer: {alternatives(OPTIMIZERS)}.", autocompletion=completed(OPTIMIZERS)),
]
LearningRate = Annotated[float | None, _experiment("--lr", help="Learning rate.", metavar="RATE")]
Seed = Annotated[
    int | None, _experiment("--seed", help="Seed of initial weights, batch order and dropout.", metavar="N")
]
Limit = Annotated[int | None, _experiment("--limit", help="Use only the first N training samples.", metavar="N")]
Settings = Annotated[
    list[str] | None,
    _experiment(
        "--set", help="Set any configuration key, e.g. optimizer.momentum=0.9. Repeatable.", metavar="KEY=VALUE"
    ),
]

# How it is run.
Device = Annotated[
    str | None,
    _execution(
        "--device",
        help="auto, cpu, cuda, cuda:N or mps.",
        autocompletion=completed(("auto", "cpu", "cuda", "cuda:0", "mps")),
    ),
]
Threads = Annotated[
    int | None, _execution("--threads", min=1, help="CPU threads of every library. Default: all cores.", metavar="N")
]
PredictBatchSize = Annotated[int, _execution("--batch-size", min=1, help="Samples per prediction step.", metavar="N")]
RunsDir = Annotated[
    Path | None,
    _execution("--runs-dir", help="Directory of all runs. Default: $MLCLI_RUNS_DIR, else runs.", metavar="DIR"),
]
DataDir = Annotated[
    Path | None,
    _execution("--data-dir", help="Directory of the datasets. Default: $MLCLI_DATA_DIR, else a cache.", metavar="DIR"),
]
Offline = Annotated[bool, _execution("--offline", help="Never use the network. Also: MLCLI_OFFLINE=1.")]

# What is printed and written.
Format = Annotated[
    str,
    _output(
        "--format",
        "-f",
        help=f"Output format: {alternatives(_FORMATS)}.",
        metavar="FORMAT",
        autocompletion=completed(_FORMATS),
    ),
]
SavePlots = Annotated[Path | None, _output("--save-plots", help="Write plots to this directory.", metavar="DIR")]
FailUnder = Annotated[
    list[str] | None,
    _output(
        "--fail-under",
        help="Exit with code 7 if a score is below this, e.g. accuracy=0.85. Repeatable.",
        metavar="METRIC=X",
    ),
]
Force = Annotated[bool, _output("--force", help="Overwrite an existing output file.")]
Quiet = Annotated[bool, _output("--quiet", "-q", help="Print no progress and no notes.")]


def _enable_debug(value: bool) -> bool:
    if value:
        os.environ[DEBUG_VARIABLE] = "1"
    return value


Debug = Annotated[
    bool, _output("--debug", help="Show the traceback of an error.", callback=_enable_debug, expose_value=True)
]


class Commands(typer.Typer):
    """A group of commands, each of which also accepts --debug."""

    def command(  # type: ignore[override]
        self, name: str | None = None, **settings: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a command; see typer.Typer.command."""
        register = super().command(name, **settings)

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            register(_with_debug(function))
            return function

        return add


def _with_debug(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def command(*, debug: bool, **arguments: Any) -> None:
        function(**arguments)

    signature = inspect.signature(function, eval_str=True)
    debug = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    command.__signature__ = signature.replace(parameters=[*parameters, debug])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*parameters, debug]}
    del command.__wrapped__
    return command
