"""`mlcli parity`: options, output and exit codes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from mlcli.cli.app import app
from mlcli.errors import ConfigError, MlcliError, UsageError

QUICK = ("parity", "--steps", 3, "--batch-size", 200, "--threads", 1)


@pytest.fixture
def invoke(monkeypatch):
    """Run the command in this process, in which the engines are already imported, and return its error and output."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "1")

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in (*QUICK, *arguments)])
        return result.exception, result.stdout

    return run


def test_equal_engines_exit_with_0(cli):
    process = cli(*QUICK, "--backend", "sklearn,torch", "--optimizer", "sgd", "--lr", "0.1", "--format", "json")
    assert process.returncode == 0, process.stderr
    document = json.loads(process.stdout)
    assert document["pairs"][0]["verdict"] == "equal"
    assert document["batch_size"] == 200
    assert len(document["pairs"][0]["steps"]) == 3


def test_a_difference_is_a_failure_after_the_report(invoke):
    error, out = invoke("--backend", "sklearn,torch", "--tolerance", "-1")
    assert "different" in out
    assert type(error) is MlcliError
    assert "sklearn and torch differ: by" in str(error)
    assert "in the loss of step 1, more than the tolerance -1" in str(error)


def test_no_comparable_pair_is_a_failure_with_the_reason(invoke):
    error, out = invoke("--backend", "sklearn,torch", "--model", "logistic", "--optimizer", "adam")
    assert "optimizer adam cannot train logistic on scikit-learn" in out
    assert type(error) is MlcliError
    assert "no two of these engines can be compared" in str(error)


def test_a_setting_that_one_engine_lacks_is_the_reason(invoke):
    error, out = invoke("--model", "logistic", "--lr", "0.1")
    assert error is None
    assert "unknown key of lbfgs" in out
    assert "equal" in out


def test_issues_for_all_engines_are_configuration_errors(invoke):
    error, out = invoke("--set", "optimizer.momentums=0.9")
    assert isinstance(error, ConfigError)
    assert "optimizer.momentums" in str(error)
    assert out == ""


@pytest.mark.parametrize(
    ("backends", "message"), [("torch,kears", "did you mean 'keras'?"), ("torch,torch", "at least two engines")]
)
def test_an_unknown_engine_and_a_single_one_are_refused(invoke, backends, message):
    error, _ = invoke("--backend", backends)
    assert isinstance(error, UsageError)
    assert message in str(error)
