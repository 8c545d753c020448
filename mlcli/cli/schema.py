"""The arguments of `mlcli schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.options import command
from mlcli.schema import DOCUMENTS, SchemaRequest, run


def _completed_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the words that follow those that are given; typer asks for one word at a time."""
    given = " ".join([*(ctx.params.get("command") or ()), incomplete])
    n_words = given.count(" ")
    return list(dict.fromkeys(name.split()[n_words] for name in DOCUMENTS if name.startswith(given)))


schema = command(
    """Print the JSON Schema of what a command prints with --format json; without a command, list those that do.

    `mlcli schema error` is the document that every command prints when it fails without a result.

    Examples:
      mlcli schema train
      mlcli schema runs list > runs_list.schema.json
    """,
    run,
    SchemaRequest,
    command=Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND...", help="The words of a command.", autocompletion=_completed_words),
    ],
)
