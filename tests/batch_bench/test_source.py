"""The plans, settings and training command of a benchmark request."""

from __future__ import annotations

import pytest

from mlcli.batch_bench import DEFAULT_SIZES, BatchBenchRequest
from mlcli.batch_bench.source import task_of
from mlcli.errors import UsageError


def task(dataset="iris", **options):
    flags = {"dataset.name": dataset} if dataset else {}
    return task_of(BatchBenchRequest(**{"flags": flags, "backends": "torch"} | options))


@pytest.mark.parametrize(
    ("text", "sizes"), [("100,1, 10,10", (1, 10, 100)), ("auto", None), (" auto ", None), (None, DEFAULT_SIZES)]
)
def test_sizes_are_read_once_each_in_ascending_order(text, sizes):
    assert task(sizes=text).settings.sizes == sizes


@pytest.mark.parametrize("text", ["", "0,1", "-5", "1,x", "1.5", "1,,2"])
def test_other_sizes_are_refused(text):
    with pytest.raises(UsageError, match=r"--sizes .*: must be whole numbers of at least 1, e.g. 1,10,100 or auto"):
        task(sizes=text)


def test_every_engine_has_its_plan_and_thread_counts_keep_their_order():
    found = task(backends="torch, keras,torch", threads="2,1,2")
    assert list(found.plans) == ["torch", "keras"]
    assert found.settings.threads == (2, 1)


def test_without_a_dataset_it_is_mnist():
    assert task(dataset=None).plans["torch"].config.dataset.name == "mnist"


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, "mlcli train --dataset iris --backend torch --batch-size 32"),
        (
            {"threads": "1,4", "settings": ("seed=3",)},
            "mlcli train --dataset iris --set seed=3 --backend torch --batch-size 32 --threads 4",
        ),
        ({"precision": "bf16"}, None),
        ({"compiled": True}, None),
    ],
)
def test_the_command_trains_what_was_measured(options, command):
    assert task(**options).train_command("torch", 4, 32) == command
