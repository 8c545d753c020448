"""What would settle an inconclusive comparison."""

from __future__ import annotations

import re
import shlex

import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.next_step import next_step
from mlcli.compare.records import MatrixCost

UNCLEAR = {"a": ([10, 30, 20], [1.0, 1.01, 0.99]), "b": ([40, 60, 25], [1.1, 1.02, 1.2])}
COST = MatrixCost(6, 6, 0, 0, 20.0, 12.0, 6.0)


@pytest.fixture
def unclear(comparison_of):
    return comparison_of(UNCLEAR, cost=COST)


def test_the_command_is_that_of_the_user_with_more_seeds_and_tells_its_cost(unclear):
    request = CompareRequest(inputs=["my net.yaml"], backends="a,b", vary=["optimizer.lr=1,2"], settings=["seed=5"])
    text = next_step(unclear, request)
    (pair,) = unclear.pairs
    needed = max(pair.accuracy_verdict.n_needed, pair.time_verdict.n_needed)
    command = re.search("to settle (.*?): (mlcli .*) \\(", text)
    assert command[1] == "accuracy and fit time"
    words = shlex.split(command[2])
    assert words[:9] == [
        "mlcli", "compare", "my net.yaml", "--backend", "a,b", "--vary", "optimizer.lr=1,2", "--set", "seed=5",
    ]  # fmt: skip
    assert words[9] == "--seeds"
    assert int(words[10]) == needed > 3
    seconds = (needed - 3) * 2 * (5.0 + 6.0 / 6)  # a run of each variant, and the start of its process
    assert f"({2 * (needed - 3)} more runs, about 0:00:{seconds:.0f})" in text


def test_the_command_repeats_the_flags_of_the_user(unclear):
    flags = {"dataset.path": "my data.csv", "dataset.split_column": "part", "model.name": "logistic"}
    text = next_step(unclear, CompareRequest(backends="sklearn,torch", flags=flags))
    assert "mlcli compare --data 'my data.csv' --split-column part --model logistic --backend sklearn,torch" in text


def test_a_list_of_seeds_is_continued(unclear):
    text = next_step(unclear, CompareRequest(inputs=["x.yaml"], seeds="0,7,3"))
    assert "--seeds 0,7,3,8,9" in text


def test_nothing_is_proposed_for_existing_runs_and_where_all_is_settled(comparison_of):
    assert next_step(comparison_of(UNCLEAR), CompareRequest(inputs=["a", "b"])) is None
    clear = {"a": ([10, 11, 12], [1.0, 1.01, 1.0]), "b": ([90, 91, 92], [2.0, 2.01, 2.0])}
    assert next_step(comparison_of(clear, cost=COST), CompareRequest()) is None
