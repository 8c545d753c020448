"""`mlcli schema`, and the document of an error."""

from __future__ import annotations

import json

import pytest
from jsonschema import validate

from mlcli.schema import DOCUMENTS
from mlcli.schema.documents import document_schema


def test_schema_names_the_commands_and_prints_one_document(cli):
    assert cli("schema").stdout.splitlines() == list(DOCUMENTS)
    printed = cli("schema", "runs", "list")
    assert json.loads(printed.stdout) == document_schema("runs list")
    unknown = cli("schema", "trian")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "did you mean 'train'" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("evaluate", "nothing", "--format", "json"), "usage"),
        (("train", "--set", "seed=x", "--set", "modle=mlp", "-f", "json"), "usage"),
        (("evaluate", "--format=json"), "usage"),
        (("data", "verify", "fashion", "--data-dir", "missing", "-fjson"), None),
        (("train", "--dataset", "fashion", "--offline", "--format", "json"), "data"),
    ],
)
def test_an_error_is_a_document_on_stdout_and_a_message_on_stderr(arguments, kind, cli):
    process = cli(*arguments)
    document = json.loads(process.stdout)
    if kind is None:  # the result was printed, and no second document may follow
        assert (process.returncode, "rows" in document) == (3, True)
        return
    validate(document, document_schema("error"))
    error = document["error"]
    assert (error["exit_code"], error["kind"]) == (process.returncode, kind)
    assert f"mlcli: {error['message'].splitlines()[0]}\n" in process.stderr


def test_without_json_an_error_prints_nothing_to_stdout(cli):
    assert cli("evaluate", "nothing").stdout == ""
