"""The JSON that commands print is what `mlcli schema` describes, without a key more or less."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from mlcli.cli.app import app
from mlcli.schema import DOCUMENTS
from mlcli.schema.documents import document_schema
from tests.fixtures.tables import PENGUINS

DIGITS, IRIS, FOREST = (f"20260101T000000Z_{name}" for name in ("digits", "iris", "forest"))
SINGLE_FIT = ("--backend", "sklearn", "--dataset", "iris", "--model", "logistic")
COMMANDS = [
    ("train", *SINGLE_FIT),
    ("train", "--backend", "torch", "--dataset", "iris", "--epochs", "2", "--set", "dataset.validation=0.2"),
    ("train", "--dry-run"),
    ("train", "--dry-run", *SINGLE_FIT),
    ("train", "--summary", "--backend", "keras"),
    (
        "train",
        "--summary",
        "--backend",
        "sklearn",
        "--set",
        "model.name=estimator",
        "--set",
        "model.estimator=GaussianNB",
    ),
    ("compare", "RUNS/" + IRIS, "RUNS/" + FOREST),
    ("compare", "--backend", "sklearn,keras", "--set", "model=cnn", "--dry-run"),
    ("compare", "--backend", "sklearn,torch", "--folds", "3", "--repeats", "2", "--dry-run"),
    ("evaluate", DIGITS, "--misclassified", "2", "--runs-dir", "RUNS"),
    ("evaluate", FOREST, "--split", "train", "--runs-dir", "RUNS"),
    ("evaluate", IRIS, "--misclassified", "2", "--runs-dir", "RUNS"),
    ("predict", DIGITS, "--input", "samples.npy", "--output", "labels.csv", "--runs-dir", "RUNS"),
    ("convert", DIGITS, "--to", "torch", "--output", "digits.safetensors", "--runs-dir", "RUNS"),
    ("convert", FOREST, "--to", "sklearn", "--output", "forest.skops", "--runs-dir", "RUNS"),
    ("parity", "--backend", "sklearn,torch", "--dataset", "iris", "--steps", "2"),
    ("parity", "--backend", "sklearn,torch", "--model", "logistic", "--dataset", "iris", "--steps", "2"),
    ("parity", "--backend", "sklearn,torch", "--dataset", "iris", "--steps", "2", "--explain"),
    ("batch-bench", *SINGLE_FIT, "--sizes", "1,50", "--min-time", "0.01", "--max-time", "0.02", "--threads", "1"),
    ("receipt", IRIS, FOREST, "--runs-dir", "RUNS"),
    ("runs", "list", "--runs-dir", "RUNS"),
    ("runs", "show", DIGITS, "--runs-dir", "RUNS"),
    ("data", "list"),
    ("data", "show", "iris"),
    ("data", "show", "digits"),
    ("data", "inspect", str(PENGUINS), "--target", "species"),
    ("data", "fetch", "iris"),
    ("data", "verify"),
    ("config", "list"),
]
_BESIDE = ("doctor", "error")  # tested in tests/doctor and tests/cli/test_schema.py


@pytest.fixture
def documents(stored_runs, tmp_path, monkeypatch):
    """Run a command line in a folder with samples; return its exception and the document that it printed."""
    monkeypatch.chdir(tmp_path)
    np.save("samples.npy", np.zeros((3, 8, 8), dtype=np.uint8))

    def run(*words):
        arguments = [word.replace("RUNS", str(stored_runs)) for word in words]
        outcome = CliRunner().invoke(app, [*arguments, "--format", "json"])
        assert outcome.stdout, outcome.exception
        return outcome.exception, json.loads(outcome.stdout)

    return run


def issues(command, document):
    """Return how a document deviates from the schema of a command."""
    errors = Draft202012Validator(document_schema(command)).iter_errors(document)
    return [[error.message, *(one.message for one in error.context)] for error in errors]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_document_is_as_described(words, documents):
    command = next(name for name in DOCUMENTS if " ".join(words).startswith(name))
    error, document = documents(*words)
    assert issues(command, document) == [], error


def test_every_document_is_tested_and_its_schema_is_valid():
    lines = [" ".join(words) for words in COMMANDS]
    for name in DOCUMENTS:
        Draft202012Validator.check_schema(document_schema(name))
        assert name in _BESIDE or any(line.startswith(name) for line in lines), name


def test_a_key_more_and_a_key_less_are_deviations(documents):
    _, document = documents("config", "list")
    assert issues("config list", {**document, "more": 1})
    assert issues("config list", {"rows": document["rows"]})
    assert issues("config list", {**document, "rows": [{"name": "x"}]})
