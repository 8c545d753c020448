"""The command-line application, and the one place where errors become messages and exit codes.

Nothing heavy is imported here or in the command files, so that `mlcli --help` appears at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

from mlcli import __version__, signals
from mlcli.cli import (
    batch_bench,
    compare,
    config,
    convert,
    data,
    doctor,
    evaluate,
    parity,
    predict,
    runs,
    schema,
    train,
)
from mlcli.cli.options import DEBUG_VARIABLE, Commands, Debug
from mlcli.errors import ExitCode, MlcliError, out_of_memory
from mlcli.rendering import has_printed_json, print_json
from mlcli.text import escaped

app = Commands(
    name="mlcli",
    help="Run one classification experiment on scikit-learn, PyTorch or Keras, with everything else controlled.",
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
app.command("receipt")(compare.receipt)
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"mlcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Debug = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; turn every error that leaves a command into a message and an exit code."""
    # OpenBLAS reads this when it is loaded; see experiment/threads.py.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    signals.install()
    try:
        # An int is the exit code of a typer.Exit.
        outcome = app(standalone_mode=False)
    except signals.Interrupted as error:
        _exit(_message(error), error.exit_code)
    except BrokenPipeError:
        # The reader has closed the pipe, e.g. `| head`; discard what Python would flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's: an unknown option or command, or help without arguments
            _exit_with_usage(error)
        _exit_with_error(error)
    sys.exit(outcome if isinstance(outcome, int) else ExitCode.OK)


def _exit_with_usage(error: Any) -> NoReturn:
    message = error.format_message()
    if not message:  # no arguments at all: typer has shown the help
        sys.exit(ExitCode.USAGE)
    context = getattr(error, "ctx", None)
    _exit(f"{message}\nsee {context.command_path if context else 'mlcli'} --help", ExitCode.USAGE)


def _exit_with_error(error: Exception) -> NoReturn:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    if isinstance(error, MlcliError):
        _exit(_message(error), error.exit_code)
    lacking = out_of_memory(error, "close other programs, or reduce the workload")
    if lacking:
        _exit(str(lacking), lacking.exit_code)
    _exit(f"internal error: {type(error).__name__}: {error}\nrerun with --debug for a traceback", ExitCode.FAILURE)


_JSON_FLAGS = (("--format", "json"), ("-f", "json"))


def _wants_json(arguments: list[str]) -> bool:
    """Return whether a command line, which need not be valid, asks for JSON."""
    following = [*arguments[1:], ""]
    pairs = zip(arguments, following, strict=True)
    return any(
        one in ("--format=json", "-fjson") or (one in ("--format", "-f") and two == "json") for one, two in pairs
    )


def _message(error: BaseException) -> str:
    """Return the message of an error with the notes added to it."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def _exit(message: str, code: ExitCode) -> NoReturn:
    if _wants_json(sys.argv[1:]) and not has_printed_json():
        error = {"message": message, "exit_code": int(code), "kind": code.name.lower()}
        print_json({"schema_version": 1, "error": error})
    first, *others = map(escaped, message.splitlines() or [""])
    sys.stderr.write(f"mlcli: {first}\n")
    for line in others:
        sys.stderr.write(f"       {line}\n")
    sys.exit(code)
