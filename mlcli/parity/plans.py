"""Which engines can take the same steps, and for every other one the reason in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlcli.config.dump import to_dict
from mlcli.config.schema import CnnModel, ExperimentConfig, MlpModel
from mlcli.errors import UsageError
from mlcli.experiment.plan import Plan, make_plan
from mlcli.registry import backend_info

# What must be the same for two engines to take the same steps; what else is in a configuration does not matter here.
_SECTIONS = ("seed", "dataset", "model", "optimizer", "schedule", "training", "runtime")


def comparable_plans(experiments: Mapping[str, ExperimentConfig | str]) -> tuple[dict[str, Plan], dict[str, str]]:
    """The engines that can take the same steps as the first that can take any, and why the others cannot.

    experiments: by engine, the experiment resolved for it, or the reason why there is none.
    """
    plans: dict[str, Plan] = {}
    reasons: dict[str, str] = {}
    for backend, experiment in experiments.items():
        plan = _plan_or_reason(experiment)
        if isinstance(plan, Plan) and plans:
            plan = _other_settings(plan, next(iter(plans.values()))) or plan
        if isinstance(plan, Plan):
            plans[backend] = plan
        else:
            reasons[backend] = plan
    return plans, reasons


def _plan_or_reason(experiment: ExperimentConfig | str) -> Plan | str:
    if isinstance(experiment, str):
        return experiment
    try:
        plan = make_plan(_in_float64(experiment))
    except UsageError as error:
        return str(error)
    if not plan.is_iterative:
        title, model = backend_info(plan.backend).title, plan.config.model.name
        return f"{title} fits {model} in one call: there are no steps to compare"
    return plan


def _in_float64(experiment: ExperimentConfig) -> ExperimentConfig:
    """The experiment without what would make equal engines differ: rounding, GPUs chosen by some, dropout.

    Each engine draws its dropout from its own random stream. Early stopping has no say in single steps, and drawn
    weights are as good a start as any.
    """
    runtime = experiment.runtime
    device = "cpu" if runtime.device == "auto" else runtime.device
    changes: dict[str, Any] = {
        "runtime": runtime.model_copy(update={"precision": "float64", "device": device}),
        "training": experiment.training.model_copy(update={"early_stopping": None}),
        "init_from": None,
    }
    if dropout_of(experiment):
        changes["model"] = experiment.model.model_copy(update={"dropout": 0.0})
    return experiment.model_copy(update=changes)


def dropout_of(experiment: ExperimentConfig) -> float:
    """The share of units that an experiment's model drops; 0 for models without dropout."""
    return experiment.model.dropout if isinstance(experiment.model, MlpModel | CnnModel) else 0.0


def _other_settings(plan: Plan, reference: Plan) -> str | None:
    """The settings that the configuration gives this engine and not the reference; None where there are none."""
    own, other = _leaves(_settings(plan)), _leaves(_settings(reference))
    differing = [key for key in own | other if own.get(key) != other.get(key)]
    if not differing:
        return None
    named = ", ".join(f"{key} {own.get(key)} (on {reference.backend} {other.get(key)})" for key in differing[:3])
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return f"the configuration gives {plan.backend} other settings: {named}{more}"


def _settings(plan: Plan) -> dict[str, Any]:
    data = to_dict(plan.config)
    return {section: data[section] for section in _SECTIONS}


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Dotted paths to values."""
    if not isinstance(value, dict):
        return {path: value}
    return {leaf: item for key in value for leaf, item in _leaves(value[key], f"{path}.{key}".lstrip(".")).items()}
