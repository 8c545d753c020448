"""What an engine is built from, out of a plan and its dataset."""

from __future__ import annotations

from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.records import Dataset
from mlcli.workflows.plan import Plan


def engine_spec(plan: Plan, dataset: Dataset, threads: int) -> EngineSpec:
    """The specification of the engine that a plan asks for."""
    config = plan.config
    return EngineSpec(
        model=config.model,
        network=plan.network,
        n_classes=dataset.info.n_classes,
        optimizer=config.optimizer,
        batch_size=config.training.batch_size,
        scaling=dataset.scaling,
        runtime=EngineRuntime(
            device=config.runtime.device,
            threads=threads,
            precision=config.runtime.precision,
            seed=config.seed,
            deterministic=config.runtime.deterministic,
        ),
    )
