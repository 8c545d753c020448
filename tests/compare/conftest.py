from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlcli.compare.comparison import compare_pairs, mean_measurements
from mlcli.compare.records import Comparison, MeasuredRun, RunFacts, Variant
from mlcli.config.experiment import load_experiment
from mlcli.experiment.plan import make_plan
from mlcli.records import EpochRecord, Metrics, Preprocessing, RunRecord, Scaling

ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.6.0", "numpy": "2.0.0"},
    "platform": "Linux",
    "processor": "P",
    "cores": 2,
}


@pytest.fixture
def facts():
    """Make the facts of a finished run by hand."""
    return _facts


def _facts(backend="torch", *, run_id="run", environment=None, **flags):
    """Return the facts of a run. Options have two underscores in place of a dot."""
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    config = make_plan(load_experiment(None, flags={"backend": backend, **dotted}, environ={})).config
    preprocessing = Preprocessing("image", (1, 8, 8), ("0", "1"), (), (0.0, 16.0), Scaling("unit", None, 16.0))
    return RunFacts(_record(run_id, backend, config), config, preprocessing, environment or ENVIRONMENT)


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


N_TEST = 1_000


@pytest.fixture
def comparison_of():
    """Make a comparison of variants with known test answers and times."""
    return _comparison


def _comparison(variants, failures=None, cost=None, sessions=None, n_parallel=1, n_folds=None):
    """Return a comparison. variants: for each label, the wrong samples and fit seconds by seed.

    sessions: for each label, the session of each of its runs, a character each; one for all by default. n_folds: the
    runs are on the folds of as many repeats as there are runs for.
    """
    place, of_runs = {"host": "here", "n_parallel": n_parallel}, sessions or {}
    made = tuple(
        Variant(
            label,
            {"backend": label},
            tuple(
                _run(label, seed, *run, session={"id": session, **place}, n_folds=n_folds)
                for seed, (*run, session) in enumerate(
                    zip(wrong, seconds, of_runs.get(label, "s" * len(wrong)), strict=True)
                )
            ),
            tuple((failures or {}).get(label, ())),
        )
        for label, (wrong, seconds) in variants.items()
    )
    ran = [variant for variant in made if variant.runs]
    means = {variant.label: mean_measurements(variant) for variant in made}
    return Comparison("named", "digits", made, means, ran[0].label if ran else None, compare_pairs(ran), cost=cost)


def _run(label, seed, n_wrong, seconds, session, n_folds):
    """Return a run that is wrong on the first n_wrong samples, so that variants differ in exactly these."""
    correct = np.arange(N_TEST) >= n_wrong
    history = tuple(
        EpochRecord(epoch, 0.1, 1 / epoch, 0.5 + epoch / 10, None, None, seconds / 3, 100.0, False)
        for epoch in range(1, 4)
    )
    measurements = {
        "accuracy": 1 - n_wrong / N_TEST,
        "loss": 0.3,
        "fit_seconds": seconds,
        "n_parameters": 10,
        "total_seconds": 5.0,
    }
    record = SimpleNamespace(run_id=f"{label}-{seed}", seed=seed, backend="torch")
    repeat, fold = divmod(seed, n_folds) if n_folds else (0, 0)
    config = SimpleNamespace(
        seed=seed, dataset=SimpleNamespace(folds=n_folds, fold=fold, split_seed=repeat, group=None, time=None)
    )
    return MeasuredRun(
        RunFacts(record, config, None, {"session": session}),
        f"runs/{label}-{seed}",
        measurements,
        correct,
        f"data {repeat} {fold}",
        history,
    )
