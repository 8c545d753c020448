"""The command-line application and its one error boundary.

Nothing heavy is imported here or in the command files: `mlcli --help` must appear at once.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from mlcli import __version__, signals
from mlcli.cli import (
    batch_bench,
    compare,
    config,
    convert,
    data,
    evaluate,
    parity,
    predict,
    receipt,
    runs,
    train,
)
from mlcli.errors import ExitCode, MlcliError

app = typer.Typer(
    name="mlcli",
    help="Run one classification experiment on scikit-learn, PyTorch or Keras, with everything else held equal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("convert")(convert.convert)
app.command("parity")(parity.parity)
app.command("batch-bench")(batch_bench.batch_bench)
app.command("receipt")(receipt.receipt)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"mlcli {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; every error that leaves a command becomes a message and an exit code here."""
    # OpenBLAS reads this when it is loaded; see workflows/threads.py.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    signals.install()
    is_debugging = "--debug" in sys.argv or bool(os.environ.get("MLCLI_DEBUG"))
    try:
        # An int is the exit code of a typer.Exit.
        outcome = app(standalone_mode=False)
    except MlcliError as error:
        if is_debugging:
            raise
        _end(_with_notes(error), error.exit_code)
    except signals.Interrupted as error:
        _end(_with_notes(error), error.exit_code)
    except BrokenPipeError:
        # The reader has gone, e.g. `| head`; what Python would still flush has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: a flag or a command that does not exist
            if not error.format_message():  # no arguments at all: the help was shown
                sys.exit(ExitCode.USAGE)
            _end(f"{error.format_message()}\n{_help_line(error)}", ExitCode.USAGE)
        if is_debugging:
            raise
        from mlcli.experiment.memory_errors import first_line, is_out_of_memory

        if is_out_of_memory(error):
            _end(f"out of memory: {first_line(error)}\nclose other programs, or ask for less", ExitCode.OUT_OF_MEMORY)
        _end(f"{type(error).__name__}: {error}\nthis is a fault in mlcli; --debug shows where", ExitCode.FAILURE)
    sys.exit(outcome if isinstance(outcome, int) else ExitCode.OK)


def _help_line(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'mlcli'} --help shows what there is"


def _with_notes(error: BaseException) -> str:
    """The message, and what was added to it on its way."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def _end(message: str, code: ExitCode) -> NoReturn:
    from mlcli.text import escaped

    first, *others = map(escaped, message.splitlines() or [""])
    sys.stderr.write(f"mlcli: {first}\n")
    for line in others:
        sys.stderr.write(f"       {line}\n")
    sys.exit(code)
