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
from mlcli.cli.completion import join_bash_words
from mlcli.cli.options import DEBUG_VARIABLE, Commands, Debug
from mlcli.errors import ExitCode, MlcliError, out_of_memory
from mlcli.rendering import has_printed_json, print_json, streams
from mlcli.rendering.log_file import log
from mlcli.text import escaped, first_line

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
    try:
        os.getcwd()
    except OSError as error:
        reason = "it was deleted" if isinstance(error, FileNotFoundError) else error.strerror
        raise MlcliError(f"no working directory: {reason}\nchange to another one, e.g. with `cd`") from error


def main() -> NoReturn:
    """Run the command line; turn every error that leaves a command into a message and an exit code."""
    # OpenBLAS reads this when it is loaded; see experiment/threads.py.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    streams.install()
    signals.install()
    join_bash_words(os.environ)
    try:
        # An int is the exit code of a typer.Exit.
        outcome = app(standalone_mode=False)
    except signals.Interrupted as error:
        _exit(error.exit_code, _message(error))
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's: an unknown option or command, or help without arguments
            _exit_with_usage(error)
        _exit_with_error(error)
    _exit(ExitCode(outcome) if isinstance(outcome, int) else ExitCode.OK)


def _exit_with_usage(error: Any) -> NoReturn:
    message = error.format_message()
    if not message:  # no arguments at all: typer has shown the help
        _exit(ExitCode.USAGE)
    context = getattr(error, "ctx", None)
    _exit(ExitCode.USAGE, f"{message}\nsee {context.command_path if context else 'mlcli'} --help")


def _exit_with_error(error: Exception) -> NoReturn:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    if isinstance(error, MlcliError):
        _exit(error.exit_code, _message(error))
    if stop := signals.interruption():  # which a library has turned into an error of its own
        _exit(stop.exit_code, str(stop))
    lacking = out_of_memory(error, "close other programs, or reduce the workload")
    if lacking:
        _exit(lacking.exit_code, str(lacking))
    _exit(ExitCode.FAILURE, _cause(error))


def _cause(error: Exception) -> str:
    """Return the message for an error of Python or of a library: of the surroundings, or else a bug in mlcli."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    advice = "rerun with --debug for a traceback"
    if isinstance(error, ImportError):
        return f"a library cannot be loaded: {first_line(error)}\ncheck the installation with `pip check`, or {advice}"
    return f"internal error: {type(error).__name__}: {error}\n{advice}"


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


def _exit(code: ExitCode, message: str = "") -> NoReturn:
    """End the process; with FAILURE instead of OK if the result could not be written to stdout."""
    if message and _wants_json(sys.argv[1:]) and not has_printed_json():
        error = {"message": message, "exit_code": int(code), "kind": code.name.lower()}
        print_json({"schema_version": 1, "error": error})
    lost = streams.result_error()
    if lost is not None:
        reason = f"the result could not be written to stdout: {lost.strerror or lost}"
        message, code = f"{message}\n{reason}".lstrip(), code or ExitCode.FAILURE
    for number, line in enumerate(message.splitlines()):
        text = f"{'       ' if number else 'mlcli: '}{escaped(line)}\n"
        sys.stderr.write(text)
        log(text)
    sys.stderr.flush()
    sys.exit(code)
