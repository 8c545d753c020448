"""Training steps with the same weights and batches on several engines, compared after every step.

All engines compute in float64, so that only the order of summation differs, by about 1e-15. A larger difference means
different mathematics: another formula, another constant, or a computation in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.config.dump import to_dict
from mlcli.config.schema import CnnModel, ExperimentConfig, Lbfgs, MlpModel
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine, Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import DivergedError, MlcliError, UsageError
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.experiment.initial_weights import initial_weights
from mlcli.experiment.plan import Plan, engine_spec, make_plan
from mlcli.parity.records import ParityPair, ParityReport, ParityStep
from mlcli.records import Dataset
from mlcli.registry import ITERATIVE_OPTIMIZERS, alternatives, backend_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcli.parity import ParityRequest

Pair = tuple[str, str]

# Two engines take the same steps if these sections are equal; the rest of a configuration does not matter here.
_SECTIONS = ("seed", "dataset", "model", "optimizer", "schedule", "training", "runtime")
_N_SETTINGS_SHOWN = 3


def check_parity(
    experiments: Mapping[str, ExperimentConfig | str], request: ParityRequest, threads: int
) -> ParityReport:
    """Take the steps on every engine and compare losses and weights after each.

    experiments: by engine, the experiment resolved for it, or the reason why that is impossible.

    For an engine that cannot take the steps, the report contains the reason. The steps end when a loss is no longer
    finite; DivergedError if that happens on every engine at once.
    """
    if request.n_steps < 1:
        raise UsageError(f"--steps {request.n_steps}: must be at least 1")
    plans, reasons = _comparable_plans(experiments)
    steps: dict[Pair, list[ParityStep]] = {pair: [] for pair in combinations(experiments, 2)}
    if len(plans) > 1:
        config = next(iter(plans.values())).config
        dataset = load_dataset(config.dataset, data_dir=request.data_dir, offline=request.offline)
        course = _course(config, len(dataset.train), request.n_steps)
        engines, more_reasons = _build_engines(plans, dataset, course, threads)
        reasons |= more_reasons
        for compared in _take_steps(engines, course) if len(engines) > 1 else ():
            for pair, step in compared.items():
                steps[pair].append(step)
    pairs = tuple(
        ParityPair(pair, request.tolerance, tuple(taken), None if taken else _reason(pair, reasons))
        for pair, taken in steps.items()
    )
    plan = next(iter(plans.values()), None)
    return ParityReport(
        experiment=(plan.config.name or "") if plan else "",
        n_steps=request.n_steps,
        batch_size=plan.config.training.batch_size if plan else None,
        n_parameters=plan.network.n_parameters if plan and plan.network else None,
        pairs=pairs,
        notes=_notes(experiments, pairs),
    )


def raise_if_different(report: ParityReport) -> None:
    """MlcliError if a pair differs, or if no pair could be compared."""
    different = [(pair, pair.first_beyond) for pair in report.pairs if pair.first_beyond]
    if different:
        pair, step = different[0]
        others = f"; {len(different) - 1} more pairs differ" if len(different) > 1 else ""
        raise MlcliError(
            f"{' and '.join(pair.engines)} differ: by {step.loss_difference:.3g} in the loss of step {step.step}, "
            f"more than the tolerance {pair.tolerance:g}{others}"
        )
    if not any(pair.steps for pair in report.pairs):
        raise MlcliError("no two of these engines can be compared; the report gives the reasons")


def _comparable_plans(
    experiments: Mapping[str, ExperimentConfig | str],
) -> tuple[dict[str, Plan], dict[str, str]]:
    """Return, by engine, plans with the same steps as the first possible plan, and the reasons of the other engines."""
    plans: dict[str, Plan] = {}
    reasons: dict[str, str] = {}
    for backend, experiment in experiments.items():
        try:
            plan = _step_plan(experiment)
            if plans:
                _check_same_settings(plan, next(iter(plans.values())))
        except UsageError as error:
            reasons[backend] = str(error)
        else:
            plans[backend] = plan
    return plans, reasons


def _step_plan(experiment: ExperimentConfig | str) -> Plan:
    """Return the plan of an experiment in float64; UsageError if it has no steps, or the experiment is a reason."""
    if isinstance(experiment, str):
        raise UsageError(experiment)
    plan = make_plan(_controlled(experiment))
    if not plan.is_iterative:
        title, model = backend_info(plan.backend).title, plan.config.model.name
        raise UsageError(f"{title} trains {model} with a single fit, which has no steps to compare")
    return plan


def _controlled(experiment: ExperimentConfig) -> ExperimentConfig:
    """Return the experiment without what makes equal engines differ: rounding, choice of device, dropout.

    Each engine draws dropout from its own random stream. Early stopping does not apply to single steps, and weights
    drawn from the seed serve as well as those of a run.
    """
    runtime = experiment.runtime
    device = "cpu" if runtime.device == "auto" else runtime.device
    changes: dict[str, Any] = {
        "runtime": runtime.model_copy(update={"precision": "float64", "device": device}),
        "training": experiment.training.model_copy(update={"early_stopping": None}),
        "init_from": None,
    }
    if _dropout(experiment):
        changes["model"] = experiment.model.model_copy(update={"dropout": 0.0})
    return experiment.model_copy(update=changes)


def _dropout(experiment: ExperimentConfig) -> float:
    """Return the fraction of units that the model drops; 0 for models without dropout."""
    return experiment.model.dropout if isinstance(experiment.model, MlpModel | CnnModel) else 0.0


def _check_same_settings(plan: Plan, reference: Plan) -> None:
    """UsageError with the first settings that the configuration chooses differently for the two engines."""
    settings, others = ({key: to_dict(one.config)[key] for key in _SECTIONS} for one in (plan, reference))
    flat, flat_others = _flattened(settings), _flattened(others)
    keys = [key for key in flat | flat_others if flat.get(key) != flat_others.get(key)]
    if keys:
        shown = [
            f"{key} {flat.get(key)} (on {reference.backend} {flat_others.get(key)})" for key in keys[:_N_SETTINGS_SHOWN]
        ]
        more = f" and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
        raise UsageError(f"the configuration has other settings for {plan.backend}: {', '.join(shown)}{more}")


def _flattened(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted path."""
    if not isinstance(value, dict):
        return {path: value}
    return {leaf: item for key in value for leaf, item in _flattened(value[key], f"{path}.{key}".lstrip(".")).items()}


@dataclass(frozen=True)
class _Course:
    """The steps of every engine. Only the samples in them are placed: a float64 copy of a whole split is large."""

    samples: NDArray[np.int64]  # (placed,), positions in the training split
    batches: tuple[NDArray[np.int64], ...]  # (batch,) each, positions in `samples`
    learning_rates: NDArray[np.float64]  # (steps,)


def _course(config: ExperimentConfig, n_samples: int, n_steps: int) -> _Course:
    """Return the first steps of the run that a configuration describes, short last batches of epochs included."""
    if config.optimizer is None or isinstance(config.optimizer, Lbfgs):
        raise UsageError(f"parity needs an optimizer with a learning rate: {alternatives(ITERATIVE_OPTIMIZERS)}")
    size = config.training.batch_size or n_samples
    n_per_epoch = math.ceil(n_samples / size)
    n_needed = math.ceil(n_steps / n_per_epoch)
    n_epochs = max(config.training.epochs or 1, n_needed)
    batches: list[NDArray[np.int64]] = []
    rates: list[NDArray[np.float64]] = []
    for epoch in range(1, n_needed + 1):
        order = epoch_order(config.seed, epoch, n_samples)
        batches += [order[start : start + size] for start in range(0, n_samples, size)]
        rates.append(
            learning_rates(config.schedule, config.optimizer.lr, epoch=epoch, n_epochs=n_epochs, n_steps=n_per_epoch)
        )
    batches = batches[:n_steps]
    samples = np.unique(np.concatenate(batches))
    return _Course(samples, tuple(np.searchsorted(samples, batch) for batch in batches), np.concatenate(rates))


def _build_engines(
    plans: Mapping[str, Plan], dataset: Dataset, course: _Course, threads: int
) -> tuple[dict[str, Engine], dict[str, str]]:
    """Return the engines with their samples placed, and the reasons of those that cannot be built."""
    x, y = dataset.train.x[course.samples], dataset.train.y[course.samples]
    engines: dict[str, Engine] = {}
    reasons: dict[str, str] = {}
    for backend, plan in plans.items():
        try:
            engine = build_engine(backend, engine_spec(plan, dataset, threads), initial_weights(plan))
            engine.place(x, y)
        except UsageError as error:
            reasons[backend] = str(error)
        else:
            engines[backend] = engine
    return engines, reasons


def _take_steps(engines: Mapping[str, Engine], course: _Course) -> Iterator[dict[Pair, ParityStep]]:
    """Take one step after the other on every engine, and yield each step of every pair."""
    for index, batch in enumerate(course.batches):
        rate = course.learning_rates[index : index + 1]
        losses = {backend: engine.train_steps(batch, rate).loss for backend, engine in engines.items()}
        is_finite = [math.isfinite(loss) for loss in losses.values()]
        if not any(is_finite):
            raise DivergedError(
                f"the loss became {next(iter(losses.values()))} in step {index + 1} on {', '.join(losses)}\n"
                "lower the learning rate (--lr), or check the data for values that are not finite"
            )
        weights = {backend: engine.weights() for backend, engine in engines.items()}
        yield {
            (a, b): ParityStep(index + 1, (losses[a], losses[b]), _largest_difference(weights[a], weights[b]))
            for a, b in combinations(engines, 2)
        }
        if not all(is_finite):
            return


def _largest_difference(a: Weights, b: Weights) -> float:
    return float(np.max([np.abs(a[name] - b[name]).max() for name in a]))


def _reason(pair: Pair, reasons: Mapping[str, str]) -> str:
    """Return on one line why a pair has no steps."""
    found = dict.fromkeys(reasons[backend] for backend in pair if backend in reasons)
    return "; ".join(found).replace("\n", "; ")


def _notes(experiments: Mapping[str, ExperimentConfig | str], pairs: tuple[ParityPair, ...]) -> tuple[str, ...]:
    notes = []
    readable = [experiment for experiment in experiments.values() if not isinstance(experiment, str)]
    dropout = max(map(_dropout, readable), default=0.0)
    if dropout:
        notes.append(f"dropout is off (model.dropout {dropout:g}): each engine draws it from another random stream")
    if any(experiment.init_from for experiment in readable):
        notes.append("init_from is ignored: every engine starts from weights drawn from the seed")
    if any(pair.steps for pair in pairs) and any(pair.reason for pair in pairs):
        notes.append("pairs that cannot be compared do not fail the check; the report gives the reasons")
    return tuple(notes)
