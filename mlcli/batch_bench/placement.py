"""From the specification of a subject to an engine with its samples, ready to be measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.batch_bench.measurement import Placed
from mlcli.batch_bench.messages import SubjectSpec
from mlcli.config.schema import ExperimentConfig
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.experiment.plan import Plan, engine_spec, make_plan
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.models.initial_weights import as_precision, initial_weights
from mlcli.records import Dataset
from mlcli.runs.find import find_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class _Built:
    engine: Engine
    dataset: Dataset
    plan: Plan
    notes: tuple[str, ...]


def place(spec: SubjectSpec) -> Placed:
    """Read the data, build the engine, hand it the samples. The errors of errors.py where that cannot be done."""
    plan = make_plan(ExperimentConfig.model_validate_json(spec.config))
    built = _from_run(spec, plan, spec.run) if spec.run else _from_config(spec, plan)
    x, y = built.dataset.train.x, built.dataset.train.y
    return Placed(
        bench=built.engine.bench(x, y, include_transfer=spec.include_transfer),
        n_samples=len(y),
        fingerprint=built.dataset.fingerprint,
        is_iterative=plan.is_iterative,
        score=partial(built.engine.predict, x),
        y=y,
        notes=(*built.dataset.notes, *built.notes),
    )


def _from_config(spec: SubjectSpec, plan: Plan) -> _Built:
    data_directory = Path(spec.data_directory) if spec.data_directory else None
    dataset = load_dataset(plan.config.dataset, data_dir=data_directory, offline=spec.offline)
    engine = build_engine(plan.backend, _engine_spec(spec, plan, dataset), _initial_weights(plan))
    if plan.network is not None:
        return _Built(engine, dataset, plan, ())
    engine.place(dataset.train.x, dataset.train.y)
    engine.fit()
    return _Built(engine, dataset, plan, (f"fitted on {len(dataset.train):,} samples before it was measured",))


def _from_run(spec: SubjectSpec, plan: Plan, run: str) -> _Built:
    stored = open_run(find_run(run, Path(run).parent))
    data_directory = Path(spec.data_directory) if spec.data_directory else None
    dataset = stored.load_dataset(data_directory=data_directory, offline=spec.offline)
    if plan.network is None:
        engine = stored.build_engine(plan.backend, device=plan.config.runtime.device, threads=spec.threads)
    else:
        engine = build_engine(plan.backend, _engine_spec(spec, plan, dataset), _stored_weights(stored, plan))
    return _Built(engine, dataset, plan, ())


def _engine_spec(spec: SubjectSpec, plan: Plan, dataset: Dataset) -> EngineSpec:
    base = engine_spec(plan, dataset, spec.threads)
    return replace(base, runtime=replace(base.runtime, matmul_precision=spec.matmul_precision, compiled=spec.compiled))


def _initial_weights(plan: Plan) -> dict[str, NDArray[np.floating]] | None:
    if plan.network is None:
        return None
    return as_precision(initial_weights(plan.network, plan.config.seed), plan.config.runtime.precision)


def _stored_weights(stored: StoredRun, plan: Plan) -> dict[str, NDArray[np.floating]]:
    """By the names of this plan's network: another engine's may have other layers between those with weights."""
    assert plan.network is not None
    return dict(zip(plan.network.parameter_shapes(), stored.weights().values(), strict=True))
