from __future__ import annotations

import pytest

from mlcli.compare.records import RunFacts
from mlcli.config.experiment import load_experiment
from mlcli.experiment.plan import make_plan
from mlcli.records import Metrics, Preprocessing, RunRecord, Scaling

ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.6.0", "numpy": "2.0.0"},
    "platform": "Linux",
    "processor": "P",
    "cores": 2,
}


@pytest.fixture
def facts():
    """What a finished run leaves, made by hand."""
    return _facts


def _facts(backend="torch", *, run_id="run", environment=None, **flags):
    """Flags have two underscores in place of a dot."""
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
