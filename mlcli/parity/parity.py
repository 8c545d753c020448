"""Training steps with the same weights and batches on several engines, compared after every step.

All engines compute in float64, so that only the order of summation differs, by about 1e-15. A larger difference means
different mathematics: another formula, another constant, or a computation in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dump import settings_by_key
from mlcli.config.schema import CnnModel, ExperimentConfig, Lbfgs, MlpModel
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine
from mlcli.engines.registry import build_engine
from mlcli.errors import ConfigError, DivergedError, MlcliError, UsageError
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.experiment.initial_weights import initial_weights
from mlcli.experiment.plan import Plan, engine_spec, make_plan
from mlcli.parity import ParityRequest
from mlcli.parity.explanation import Explanation, explain, raise_if_wrong
from mlcli.records import Dataset
from mlcli.registry import ITERATIVE_OPTIMIZERS, alternatives, backend_info
from mlcli.text import listed

_Pair = tuple[str, str]  # of engines
# Two engines take the same steps if these sections are equal; the rest of a configuration does not matter here.
_SECTIONS = ("seed", "dataset", "model", "optimizer", "schedule", "training", "runtime")
_N_SETTINGS_SHOWN = 3


@dataclass(frozen=True)
class ParityStep:
    """One step of two engines on the same batch; losses in nats per sample, before the update."""

    step: int  # from 1
    first_loss: float
    second_loss: float
    loss_difference: float  # absolute
    weight_difference: float  # the largest absolute difference over all weights, after the update


@dataclass(frozen=True)
class ParityPair:
    """Two engines compared step by step, or the reason why they cannot be."""

    engines: tuple[str, str]
    tolerance: float  # on the loss of each step
    steps: tuple[ParityStep, ...] = ()
    reason: str | None = None  # given if there are no steps

    @property
    def first_beyond(self) -> ParityStep | None:
        """The first step whose losses differ by more than the tolerance, or by NaN."""
        return next((step for step in self.steps if not step.loss_difference <= self.tolerance), None)

    @property
    def verdict(self) -> Literal["equal", "different", "not compared"]:
        """Whether all steps agree within the tolerance."""
        if not self.steps:
            return "not compared"
        return "equal" if self.first_beyond is None else "different"


@dataclass(frozen=True)
class ParityReport:
    """Engines that took the same steps from the same initial weights, pair by pair."""

    experiment: str
    n_steps: int
    batch_size: int | None  # None if no engine can take a step
    n_parameters: int | None
    pairs: tuple[ParityPair, ...]
    notes: tuple[str, ...]
    explanation: Explanation | None = None  # if it was requested and engines took steps


def check_parity(
    experiments: Mapping[str, ExperimentConfig | ConfigError], request: ParityRequest, threads: int
) -> ParityReport:
    """Take the steps on every engine and compare losses and weights after each.

    experiments: by engine, the experiment resolved for it, or the error that prevents that.

    For an engine that cannot take the steps, the report contains the reason. The steps end when a loss is no longer
    finite; DivergedError if that happens on every engine at once.
    """
    if request.n_steps < 1:
        raise UsageError(f"--steps {request.n_steps}: must be at least 1")
    reasons: dict[str, str] = {}
    plans = _comparable_plans(experiments, request.data_dir, reasons)
    steps: dict[_Pair, list[ParityStep]] = {pair: [] for pair in combinations(experiments, 2)}
    explanation = None
    if len(plans) > 1:
        config = next(iter(plans.values())).config
        dataset = load_dataset(config.dataset, data_dir=request.data_dir, offline=request.offline)
        schedule = _first_steps(config, len(dataset.train), request.n_steps)
        # Only the samples in these steps are placed: a float64 copy of a whole split is large.
        placed = np.unique(np.concatenate([step.samples for step in schedule]))
        engines = _placed_engines(plans, dataset, placed, threads, reasons)
        for pair, step in _compared_steps(engines, schedule, placed):
            steps[pair].append(step)
        if request.explain and engines:
            weights = next(iter(engines.values())).weights()
            explanation = explain(_plans_with_weights(experiments, request.data_dir), dataset, weights, threads)
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
        explanation=explanation,
    )


def raise_if_different(report: ParityReport) -> None:
    """MlcliError if a pair differs, no pair could be compared, or the explanation does not hold."""
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
    if report.explanation:
        raise_if_wrong(report.explanation)


@contextmanager
def _reason_noted(backend: str, reasons: dict[str, str]) -> Iterator[None]:
    """Note a UsageError as the reason why an engine cannot take the steps."""
    try:
        yield
    except UsageError as error:
        reasons[backend] = str(error)


def _comparable_plans(
    experiments: Mapping[str, ExperimentConfig | ConfigError], data_dir: Path | None, reasons: dict[str, str]
) -> dict[str, Plan]:
    """Return, by engine, plans with the same steps as the first possible plan."""
    plans: dict[str, Plan] = {}
    for backend, experiment in experiments.items():
        with _reason_noted(backend, reasons):
            if isinstance(experiment, ConfigError):
                raise experiment
            plan = make_plan(_controlled(experiment), data_dir)
            if not plan.is_iterative:
                title, model = backend_info(backend).title, plan.config.model.name
                raise UsageError(f"{title} trains {model} with a single fit, which has no steps to compare")
            if plans:
                _check_same_settings(plan, next(iter(plans.values())))
            plans[backend] = plan
    return plans


def _plans_with_weights(
    experiments: Mapping[str, ExperimentConfig | ConfigError], data_dir: Path | None
) -> dict[str, Plan]:
    """Return, by engine, plans of one network; engines that train it by a single fit are among them."""
    plans: dict[str, Plan] = {}
    for backend, experiment in experiments.items():
        if isinstance(experiment, ConfigError):
            continue
        with suppress(UsageError):
            plan = make_plan(_controlled(experiment), data_dir)
            if plan.network and all(plan.network == other.network for other in plans.values()):
                plans[backend] = plan
    return plans


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
    found, expected = settings_by_key(plan.config), settings_by_key(reference.config)
    different = [
        f"{key} {found.get(key)} (on {reference.backend} {expected.get(key)})"
        for key in found | expected
        if key.split(".")[0] in _SECTIONS and found.get(key) != expected.get(key)
    ]
    if different:
        shown = listed(different, _N_SETTINGS_SHOWN)
        raise UsageError(f"the configuration has other settings for {plan.backend}: {shown}")


@dataclass(frozen=True)
class _Step:
    samples: NDArray[np.int64]  # (batch,), positions in the training split
    learning_rate: NDArray[np.float64]  # (1,)


def _first_steps(config: ExperimentConfig, n_samples: int, n_steps: int) -> list[_Step]:
    """Return the first steps of the run that a configuration describes, short last batches of epochs included."""
    optimizer, schedule = config.optimizer, config.schedule
    if optimizer is None or isinstance(optimizer, Lbfgs) or optimizer.lr is None or schedule is None:
        raise UsageError(f"parity needs an optimizer with a learning rate: {alternatives(ITERATIVE_OPTIMIZERS)}")
    size = config.training.batch_size or n_samples
    n_per_epoch = math.ceil(n_samples / size)
    n_needed = math.ceil(n_steps / n_per_epoch)
    n_epochs = max(config.training.epochs or 1, n_needed)
    steps: list[_Step] = []
    for epoch in range(1, n_needed + 1):
        order = epoch_order(config.seed, epoch, n_samples)
        rates = learning_rates(schedule, optimizer.lr, epoch=epoch, n_epochs=n_epochs, n_steps=n_per_epoch)
        steps += [_Step(order[i * size : (i + 1) * size], rates[i : i + 1]) for i in range(n_per_epoch)]
    return steps[:n_steps]


def _placed_engines(
    plans: Mapping[str, Plan], dataset: Dataset, placed: NDArray[np.int64], threads: int, reasons: dict[str, str]
) -> dict[str, Engine]:
    """Return the engines that can be built, with these samples of the training split placed."""
    x, y = dataset.train.x[placed], dataset.train.y[placed]
    engines: dict[str, Engine] = {}
    for backend, plan in plans.items():
        with _reason_noted(backend, reasons):
            engine = build_engine(backend, engine_spec(plan, dataset, threads), initial_weights(plan))
            engine.place(x, y)
            engines[backend] = engine
    return engines


def _compared_steps(
    engines: Mapping[str, Engine], schedule: Sequence[_Step], placed: NDArray[np.int64]
) -> Iterator[tuple[_Pair, ParityStep]]:
    """Take one step after the other on every engine, and yield each step of every pair."""
    if len(engines) < 2:
        return
    for number, step in enumerate(schedule, 1):
        order = np.searchsorted(placed, step.samples)
        losses = {backend: engine.train_steps(order, step.learning_rate).loss for backend, engine in engines.items()}
        is_finite = [math.isfinite(loss) for loss in losses.values()]
        if not any(is_finite):
            raise DivergedError(
                f"the loss became {next(iter(losses.values()))} in step {number} on {', '.join(losses)}\n"
                "lower the learning rate (--lr), or check the data for values that are not finite"
            )
        weights = {backend: engine.weights() for backend, engine in engines.items()}
        for a, b in combinations(engines, 2):
            difference = np.max([np.abs(weights[a][name] - weights[b][name]).max() for name in weights[a]])
            yield (a, b), ParityStep(number, losses[a], losses[b], abs(losses[a] - losses[b]), float(difference))
        if not all(is_finite):
            return


def _reason(pair: _Pair, reasons: Mapping[str, str]) -> str:
    """Return on one line why a pair has no steps."""
    found = dict.fromkeys(reasons[backend] for backend in pair if backend in reasons)
    return "; ".join(found).replace("\n", "; ")


def _notes(experiments: Mapping[str, ExperimentConfig | ConfigError], pairs: tuple[ParityPair, ...]) -> tuple[str, ...]:
    notes = []
    resolved = [experiment for experiment in experiments.values() if not isinstance(experiment, ConfigError)]
    dropout = max(map(_dropout, resolved), default=0.0)
    if dropout:
        notes.append(f"dropout is off (model.dropout {dropout:g}): each engine draws it from another random stream")
    if any(experiment.init_from for experiment in resolved):
        notes.append("init_from is ignored: every engine starts from weights drawn from the seed")
    if any(pair.steps for pair in pairs) and any(pair.reason for pair in pairs):
        notes.append("pairs that cannot be compared do not fail the check; the report gives the reasons")
    return tuple(notes)
