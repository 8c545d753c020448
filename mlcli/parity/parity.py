"""Parity: the same weights and the same batches through each engine's own training code, compared step by step.

Everything is float64, so that what remains is the order in which sums are taken, about 1e-15. A larger difference
is different mathematics: another formula, another constant, or a computation in float32 underneath.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.config.schema import ExperimentConfig, Lbfgs
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine, Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import DivergedError, UsageError
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.experiment.plan import Plan, engine_spec
from mlcli.models.initial_weights import as_precision, initial_weights
from mlcli.parity.plans import comparable_plans, dropout_of
from mlcli.parity.records import ParityPair, ParityReport, ParityStep
from mlcli.records import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[str, str]


@dataclass(frozen=True)
class _Course:
    """The steps that every engine takes. A float64 copy of a whole split takes much memory, so only some is placed."""

    samples: NDArray[np.int64]  # (placed,), positions in the training split of the samples that some step needs
    batches: tuple[NDArray[np.int64], ...]  # (batch,) each, positions in `samples`
    learning_rates: NDArray[np.float64]  # (steps,)


def check_parity(
    experiments: Mapping[str, ExperimentConfig | str],
    *,
    n_steps: int,
    tolerance: float,
    threads: int,
    data_directory: Path | None = None,
    offline: bool = False,
) -> ParityReport:
    """Take n_steps steps with every engine and compare losses and weights after each.

    experiments: by engine, the experiment resolved for it, or the reason why there is none.
    tolerance: on the loss of a step, nats per sample.

    An engine that cannot take these steps stands in the report with the reason. The steps end where a loss is no
    longer finite; DivergedError where that happens to every engine at once.
    """
    if n_steps < 1:
        raise UsageError(f"--steps {n_steps}: at least one step is needed")
    plans, reasons = comparable_plans(experiments)
    steps: dict[Pair, list[ParityStep]] = {pair: [] for pair in combinations(experiments, 2)}
    if len(plans) > 1:
        config = next(iter(plans.values())).config
        dataset = load_dataset(config.dataset, data_dir=data_directory, offline=offline)
        course = _course(config, len(dataset.train), n_steps)
        engines, refusals = _placed_engines(plans, dataset, course, threads)
        reasons |= refusals
        for compared in _lockstep(engines, course) if len(engines) > 1 else ():
            for pair, step in compared.items():
                steps[pair].append(step)
    pairs = tuple(
        ParityPair(pair, tolerance, tuple(taken), None if taken else _why_not(pair, reasons))
        for pair, taken in steps.items()
    )
    return _report(experiments, plans, n_steps, pairs)


def _course(config: ExperimentConfig, n_samples: int, n_steps: int) -> _Course:
    """The first steps of the run that a configuration describes, epoch after epoch, short last batches included."""
    if config.optimizer is None or isinstance(config.optimizer, Lbfgs):
        raise UsageError("steps need an optimizer with a learning rate: sgd, adam, adamw or rmsprop")
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


def _placed_engines(
    plans: Mapping[str, Plan], dataset: Dataset, course: _Course, threads: int
) -> tuple[dict[str, Engine], dict[str, str]]:
    """The engines with their samples, and why some could not be built."""
    x, y = dataset.train.x[course.samples], dataset.train.y[course.samples]
    engines: dict[str, Engine] = {}
    refusals: dict[str, str] = {}
    for backend, plan in plans.items():
        try:
            engine = build_engine(backend, engine_spec(plan, dataset, threads), _start(plan))
            engine.place(x, y)
        except UsageError as error:
            refusals[backend] = str(error)
        else:
            engines[backend] = engine
    return engines, refusals


def _start(plan: Plan) -> Weights | None:
    return as_precision(initial_weights(plan.network, plan.config.seed), "float64") if plan.network else None


def _lockstep(engines: Mapping[str, Engine], course: _Course) -> Iterator[dict[Pair, ParityStep]]:
    """Every engine takes one step, then every pair is compared; and so on."""
    for index, batch in enumerate(course.batches):
        rate = course.learning_rates[index : index + 1]
        losses = {backend: engine.train_steps(batch, rate).loss for backend, engine in engines.items()}
        finite = [math.isfinite(loss) for loss in losses.values()]
        if not any(finite):
            raise DivergedError(
                f"the loss became {next(iter(losses.values()))} in step {index + 1} on {', '.join(losses)}\n"
                "lower the learning rate (--lr), or look for values in the data that are not finite"
            )
        weights = {backend: engine.weights() for backend, engine in engines.items()}
        yield {
            (a, b): ParityStep(index + 1, (losses[a], losses[b]), _largest_difference(weights[a], weights[b]))
            for a, b in combinations(engines, 2)
        }
        if not all(finite):
            return


def _largest_difference(a: Weights, b: Weights) -> float:
    return float(np.max([np.abs(a[name] - b[name]).max() for name in a]))


def _why_not(pair: Pair, reasons: Mapping[str, str]) -> str:
    """The reasons of a pair without steps, on one line."""
    own = dict.fromkeys(reasons[backend] for backend in pair if backend in reasons)
    return "; ".join(own).replace("\n", "; ")


def _report(
    experiments: Mapping[str, ExperimentConfig | str],
    plans: Mapping[str, Plan],
    n_steps: int,
    pairs: tuple[ParityPair, ...],
) -> ParityReport:
    plan = next(iter(plans.values()), None)
    return ParityReport(
        experiment=(plan.config.name or "") if plan else "",
        n_steps=n_steps,
        batch_size=plan.config.training.batch_size if plan else None,
        n_parameters=plan.network.n_parameters if plan and plan.network else None,
        pairs=pairs,
        notes=_notes(experiments, pairs),
    )


def _notes(experiments: Mapping[str, ExperimentConfig | str], pairs: tuple[ParityPair, ...]) -> tuple[str, ...]:
    """What the reader of the verdicts must know."""
    notes = []
    readable = [experiment for experiment in experiments.values() if not isinstance(experiment, str)]
    rates = {dropout_of(experiment) for experiment in readable} - {0.0}
    if rates:
        notes.append(f"dropout is off (model.dropout {max(rates):g}): each engine draws it from its own random stream")
    if any(experiment.init_from for experiment in readable):
        notes.append("init_from is left out: every engine starts from the weights that the seed draws")
    if any(pair.steps for pair in pairs) and any(pair.reason for pair in pairs):
        notes.append("a pair that cannot be compared does not fail the check; the reason says what is different")
    return tuple(notes)
