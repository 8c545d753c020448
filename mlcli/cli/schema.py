"""The arguments of `mlcli schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.completion import completed
from mlcli.cli.options import command
from mlcli.schema import DOCUMENTS, SchemaRequest, run

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
        typer.Argument(metavar="COMMAND...", help="The words of a command.", autocompletion=completed(DOCUMENTS)),
    ],
)
