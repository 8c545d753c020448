"""The report of `--dry-run`: an experiment as it would be run."""

from __future__ import annotations

import math

from mlcli.config.dump import to_dict
from mlcli.config.schema import Lbfgs
from mlcli.experiment.plan import Plan
from mlcli.rendering.tables import format_cell, print_summary


def print_plan(plan: Plan, n_threads: int, output_format: str) -> None:
    """Print a plan to stdout; as JSON together with the resolved configuration."""
    settings = describe_plan(plan, n_threads)
    fields = [(name.replace("_", " "), format_cell(value)) for name, value in settings.items()]
    document = {"schema_version": 1, "plan": settings, "config": to_dict(plan.config)}
    print_summary("Plan (nothing was run)", [fields], settings, document, output_format)


def describe_plan(plan: Plan, n_threads: int) -> dict[str, object]:
    """Return the settings by which a person can check a plan before it is run."""
    config, info = plan.config, plan.info
    settings: dict[str, object] = {
        "experiment": config.name,
        "backend": plan.backend,
        "dataset": info.title,
        "samples": info.n_train + info.n_test,
        "sample_shape": "x".join(map(str, info.input_shape)),
        "classes": info.n_classes,
        "model": config.model.name,
        "parameters": plan.network.n_parameters if plan.network else None,
        "optimizer": config.optimizer.name if config.optimizer else None,
    }
    if plan.is_iterative and config.optimizer is not None and not isinstance(config.optimizer, Lbfgs):
        epochs, batch_size = config.training.epochs or 0, config.training.batch_size or 1
        settings |= {
            "learning_rate": config.optimizer.lr,
            "epochs": epochs,
            "batch_size": batch_size,
            "steps_at_most": epochs * math.ceil(info.n_train / batch_size),
        }
    else:
        settings["fitted"] = "in a single fit"
    return settings | {"seed": config.seed, "device": config.runtime.device, "threads": n_threads}
