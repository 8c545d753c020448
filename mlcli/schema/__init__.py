"""`mlcli schema`: the JSON Schema of what a command prints with `--format json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mlcli.errors import UsageError, unknown_name
from mlcli.rendering import print_json

# The commands that print JSON, and the document that every command prints instead of a result when it fails.
DOCUMENTS = (
    "train", "compare", "evaluate", "predict", "convert", "parity", "batch-bench", "receipt", "runs list", "runs show",
    "data list", "data show", "data inspect", "data fetch", "data verify", "config list", "doctor", "error",
)  # fmt: skip


@dataclass(frozen=True)
class SchemaRequest:
    """Which document to describe."""

    command: Sequence[str] = ()  # the words of a command, or "error"; empty: list them


def run(request: SchemaRequest) -> None:
    """Print the schema to stdout, or the names of all documents. UsageError for an unknown command."""
    name = " ".join(request.command)
    if not name:
        sys.stdout.write("".join(f"{document}\n" for document in DOCUMENTS))
        return
    if name not in DOCUMENTS:
        raise UsageError(f"{unknown_name('document', name, DOCUMENTS)}\n`mlcli schema` lists them")
    from mlcli.schema.documents import document_schema

    print_json(document_schema(name))
