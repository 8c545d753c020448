"""Fixtures with evaluations of stored runs."""

from __future__ import annotations

import pytest

from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate


@pytest.fixture
def digits(digits_run):
    return evaluate(digits_run, EvaluateRequest("", n_misclassified=3, threads=1))


@pytest.fixture
def iris(iris_run):
    return evaluate(iris_run, EvaluateRequest("", n_misclassified=3, threads=1))
