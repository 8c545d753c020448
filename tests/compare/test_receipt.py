"""The fairness receipt, from facts made by hand and from runs that were really made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlcli.compare.receipt import RunFacts, comparability_report
from mlcli.config.experiment import load_experiment
from mlcli.errors import UsageError
from mlcli.experiment.plan import make_plan
from mlcli.records import Metrics, Preprocessing, RunRecord, Scaling


def facts(backend="torch", *, run_id="run", environment=None, **flags):
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    config = make_plan(load_experiment(None, flags={"backend": backend, **dotted}, environ={})).config
    return RunFacts(_record(run_id, backend, config), config, _PREPROCESSING, environment or _ENVIRONMENT)


def _record(run_id, backend, config):
    return RunRecord(
        run_id=run_id,
        name=config.name,
        status="finished",
        backend=backend,
        dataset=config.dataset.name,
        model=config.model.name,
        seed=config.seed,
        metrics={"train": Metrics(0.9, 0.1, 1438), "test": Metrics(0.9, 0.1, 359)},
        timing=None,
        epochs=config.training.epochs,
        best_epoch=None,
        samples_per_second=None,
        n_parameters=19210,
        device="cpu",
        threads=2,
        peak_memory_bytes=None,
        notes=(),
        digests={"dataset": "d" * 64, "split": "5" * 64, "initial_weights": "a" * 64, "batch_order": "b" * 64},
        mlcli_version="0.1.0",
        created="2026-01-01T00:00:00+00:00",
    )


_PREPROCESSING = Preprocessing("image", (1, 8, 8), ("0", "1"), (), (0.0, 16.0), Scaling("unit", None, 16.0))
_ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.6.0", "numpy": "2.0.0"},
    "platform": "Linux",
    "processor": "P",
    "cores": 2,
}


def different(*runs):
    return {row.what: row.values for row in comparability_report(runs).different}


def with_digest(run, name, digest):
    return replace(run, record=replace(run.record, digests={**run.record.digests, name: digest}))


def test_two_engines_with_everything_else_held_equal_differ_in_the_engine_alone():
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
    assert (equal["epochs"], equal["threads"], equal["device"]) == ("10", "2", "cpu")
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
def test_a_digest_that_differs_is_a_row_of_its_own(name, what):
    run = facts()
    assert different(run, with_digest(run, name, "e" * 64)) == {what: (run.record.digests[name], "e" * 64)}


@pytest.mark.parametrize(
    ("flags", "what", "value"),
    [
        ({"optimizer__lr": 0.5}, "optimizer", "adam, lr 0.5"),
        ({"schedule__name": "cosine"}, "schedule", "cosine"),
        ({"model__output": "softmax"}, "loss", "cross-entropy of probabilities"),
        ({"training__batch_size": 7}, "batch size", "7"),
        ({"training__epochs": 3}, "epochs", "3"),
        ({"runtime__precision": "float64"}, "precision", "float64"),
        ({"runtime__deterministic": True}, "deterministic", "yes"),
        ({"seed": 4}, "seed", "4"),
    ],
)
def test_a_setting_that_differs_is_shown_with_both_values(flags, what, value):
    rows = different(facts(), facts(**flags))
    assert rows[what][1].startswith(value)
    assert rows[what][0] != rows[what][1]
    assert rows.keys() <= {what, "model"}


def test_the_run_as_it_was_carried_out_counts_not_as_it_was_asked_for():
    run = facts()
    shorter = replace(run, record=replace(run.record, epochs=4, device="cuda:0", threads=1))
    assert different(run, shorter) == {"epochs": ("10", "4"), "device": ("cpu", "cuda:0"), "threads": ("2", "1")}


def test_machines_and_libraries_are_compared_also_where_one_of_them_is_not_installed():
    other = {**_ENVIRONMENT, "processor": "Q", "packages": {"torch": "2.7.0", "jax": "1"}}
    assert different(facts(), facts(environment=other)) == {
        "processor": ("P", "Q"),
        "torch": ("2.6.0", "2.7.0"),
        "numpy": ("2.0.0", None),
        "jax": (None, "1"),
    }


def test_scalings_are_compared_as_they_were_fitted():
    run = facts()
    standard = Scaling("standard", np.array(4.9), 6.0)
    other = replace(run, preprocessing=replace(_PREPROCESSING, scaling=standard))
    assert different(run, other) == {"scaling": ("unit", "standard")}


def test_a_fit_in_one_call_has_no_batches_and_no_passes():
    rows = different(facts(model__name="logistic"), facts("sklearn", model__name="logistic"))
    assert rows["batch size"] == ("128", None)
    assert rows["schedule"] == ("constant", None)
    assert rows["epochs"] == ("10", None)


def test_many_runs_stand_side_by_side():
    runs = [facts(seed=seed, run_id=str(seed)) for seed in range(5)]
    (row,) = comparability_report(runs).different
    assert row.values == ("0", "1", "2", "3", "4")


def test_one_run_is_refused():
    with pytest.raises(UsageError, match="two runs"):
        comparability_report([facts()])
