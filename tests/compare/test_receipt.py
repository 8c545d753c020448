"""The comparability report of runs that were made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlcli.compare.receipt import comparability_report, report_by_variant
from mlcli.config.dataset import DatasetConfig
from mlcli.errors import UsageError
from mlcli.records import Scaling, TableColumn, TableEncoding


def different(*runs):
    return {row.what: row.values for row in comparability_report(runs).different}


def with_digest(run, name, digest):
    return replace(run, record=replace(run.record, digests={**run.record.digests, name: digest}))


def test_two_engines_with_everything_else_controlled_differ_only_in_the_engine(facts):
    receipt = comparability_report([facts("torch", run_id="a"), facts("keras", run_id="b")])
    assert receipt.run_ids == ("a", "b")
    assert [(row.part, row.what, row.values) for row in receipt.different] == [
        ("training", "engine", ("torch", "keras"))
    ]
    equal = {row.what: row.values[0] for row in receipt.rows if row.is_equal}
    assert equal["dataset fingerprint"] == "d" * 64
    assert equal["split"] == "5" * 64
    assert equal["scaling"] == "unit"
    assert equal["initial weights"] == "a" * 64
    assert equal["batch order"] == "b" * 64
    assert equal["optimizer"].startswith("adam, lr 0.001")
    assert equal["loss"] == "cross-entropy of logits"
    assert (equal["epochs"], equal["threads"], equal["device"]) == ("23", "2", "cpu")
    assert (equal["precision"], equal["mlcli and its metrics"]) == ("float32", "0.1.0")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("dataset", "dataset fingerprint"),
        ("split", "split"),
        ("initial_weights", "initial weights"),
        ("batch_order", "batch order"),
    ],
)
def test_a_digest_that_differs_has_a_separate_row(facts, name, what):
    run = facts()
    assert different(run, with_digest(run, name, "e" * 64)) == {what: (run.record.digests[name], "e" * 64)}


@pytest.mark.parametrize(
    ("flags", "what", "value"),
    [
        ({"optimizer__lr": 0.5}, "optimizer", "adam, lr 0.5"),
        ({"schedule__name": "cosine"}, "schedule", "cosine"),
        ({"model__output": "softmax"}, "loss", "cross-entropy of probabilities"),
        ({"training__class_weight": "balanced"}, "loss", "cross-entropy of logits, classes weighted (balanced)"),
        ({"training__batch_size": 7}, "batch size", "7"),
        ({"training__epochs": 3}, "epochs", "3"),
        ({"runtime__precision": "float64"}, "precision", "float64"),
        ({"runtime__deterministic": True}, "deterministic", "yes"),
        ({"seed": 4}, "seed", "4"),
    ],
)
def test_a_setting_that_differs_is_shown_with_both_values(facts, flags, what, value):
    rows = different(facts(), facts(**flags))
    assert rows[what][1].startswith(value)
    assert rows[what][0] != rows[what][1]
    assert rows.keys() <= {what, "model"}


def test_a_column_that_decides_the_splits_is_named(facts):
    dataset = DatasetConfig(path="t.csv", target="t", group="patient")
    run = facts()
    grouped = replace(run, config=run.config.model_copy(update={"dataset": dataset}))
    assert different(run, grouped)["split method"] == (None, "by groups of patient")


def test_values_are_those_in_effect_not_those_that_were_configured(facts):
    run = facts()
    shorter = replace(run, record=replace(run.record, epochs=4, device="cuda:0", threads=1))
    assert different(run, shorter) == {"epochs": ("23", "4"), "device": ("cpu", "cuda:0"), "threads": ("2", "1")}


def test_machines_and_libraries_are_compared_also_where_one_of_them_is_not_installed(facts):
    other = {**facts().environment, "processor": "Q", "packages": {"torch": "2.7.0", "jax": "1"}}
    assert different(facts(), facts(environment=other)) == {
        "processor": ("P", "Q"),
        "torch": ("2.6.0", "2.7.0"),
        "numpy": ("2.0.0", None),
        "jax": (None, "1"),
    }


def test_scalings_are_compared_as_they_were_fitted(facts):
    run = facts()
    standard = Scaling("standard", np.array(4.9), 6.0)
    other = replace(run, preprocessing=replace(run.preprocessing, scaling=standard))
    assert different(run, other) == {"scaling": ("unit", "standard")}


def test_encodings_of_tables_are_compared(facts):
    def run(*columns):
        return replace(facts(), preprocessing=replace(facts().preprocessing, encoding=TableEncoding("t", (), columns)))

    filled, missing = TableColumn("n", "numeric", fill=0.0), TableColumn("n", "numeric")
    coded = TableColumn("c", "categorical", categories=("a",), is_coded=True)
    assert different(run(filled), run(missing)) == {"encoding": ("one-hot", "codes")}
    assert different(run(missing), run(coded)) == {}
    assert different(facts(), run(filled)) == {"encoding": (None, "one-hot")}


def test_a_single_fit_has_no_batches_and_no_epochs(facts):
    rows = different(facts(model__name="logistic"), facts("sklearn", model__name="logistic"))
    assert rows["batch size"] == ("32", None)
    assert rows["schedule"] == ("cosine, final_fraction 0.0, warmup_epochs 0.0", None)
    assert rows["epochs"] == ("23", None)


def test_every_run_has_a_value(facts):
    runs = [facts(seed=seed, run_id=str(seed)) for seed in range(5)]
    (row,) = comparability_report(runs).different
    assert row.values == ("0", "1", "2", "3", "4")


def test_a_mixture_within_the_variants_is_a_difference_even_if_it_is_the_same_in_all(facts):
    def runs(backend):
        first, second = facts(backend), facts(backend, seed=1)
        return [first, replace(second, record=replace(second.record, threads=1))]

    rows = {row.what: row for row in report_by_variant({"a": runs("torch"), "b": runs("keras")}).rows}
    assert rows["threads"].values == ("2 (seed 0), 1 (seed 1)", "2 (seed 0), 1 (seed 1)")
    assert not rows["threads"].is_equal
    assert rows["seed"].is_equal
    assert rows["seed"].values == ("0, 1", "0, 1")


def test_what_a_seed_determines_must_be_equal_for_each_seed(facts):
    def runs(*digests):
        return [with_digest(facts(seed=seed), "batch_order", digest) for seed, digest in enumerate(digests)]

    def is_equal(first, second):
        receipt = report_by_variant({"a": runs(*first), "b": runs(*second)})
        return {row.what: row.is_equal for row in receipt.rows}["batch order"]

    assert is_equal(["e" * 64, "f" * 64], ["e" * 64, "f" * 64])
    assert not is_equal(["e" * 64, "f" * 64], ["f" * 64, "e" * 64])


def test_dropout_masks_and_the_commit_have_rows(facts):
    dropout = {"model__dropout": 0.5}
    rows = different(facts("torch", **dropout), facts("keras", **dropout))
    assert rows["dropout masks"] == ("drawn by torch from seed 0", "drawn by keras from seed 0")
    other = facts(environment={**facts().environment, "git_commit": "c" * 40})
    assert different(facts(), other) == {"git commit": (None, "c" * 40)}


def test_one_run_is_refused(facts):
    with pytest.raises(UsageError, match="two runs"):
        comparability_report([facts()])
