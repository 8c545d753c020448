"""The initial weights of a plan: drawn from its seed, or those of a finished run, whichever engine trained it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from mlcli.engines.contract import Weights
from mlcli.errors import DataError, UsageError
from mlcli.experiment.plan import Plan
from mlcli.experiment.stored_run import open_run
from mlcli.models.layers import Dropout, Layer, Network, Softmax
from mlcli.models.summary import layer_text
from mlcli.models.weights import as_precision
from mlcli.models.weights import initial_weights as draw_weights
from mlcli.records import RunRecord
from mlcli.runs.find import find_run
from mlcli.text import listed

_MAX_LAYERS_SHOWN = 12


@dataclass(frozen=True)
class SourceRun:
    """The finished run under `init_from`."""

    record: RunRecord
    reference: str  # its full name, or its path if it is not in the runs directory
    weights: Weights  # under the names of the plan's network
    digest: str  # of the weights as stored

    @property
    def note(self) -> str:
        record = self.record
        return f"starts from the weights of run {record.run_id}, trained on {record.dataset} by {record.backend}"


def initial_weights(plan: Plan, source: SourceRun | None = None) -> Weights | None:
    """Return the weights that training starts from, in the plan's precision; None for a model without weights.

    They are those of the source run, or are drawn from the seed.
    """
    if plan.network is None:
        return None
    weights = source.weights if source else draw_weights(plan.network, plan.config.seed)
    return as_precision(weights, plan.config.runtime.precision)


def weights_digest(weights: Weights) -> str:
    """Return the sha256 over names, shapes, dtypes and values, in the order of the mapping."""
    digest = hashlib.sha256()
    for name, array in weights.items():
        digest.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def pinned(plan: Plan, source: SourceRun | None) -> Plan:
    """Return the plan with the full name of its source run and the digest of that run's weights.

    `last` and prefixes mean another run tomorrow. A plan without a source run is returned unchanged.
    """
    if plan.config.init_from is None or source is None:
        return plan
    init_from = plan.config.init_from.model_copy(update={"run": source.reference, "weights": source.digest})
    return replace(plan, config=plan.config.model_copy(update={"init_from": init_from}))


def read_source(plan: Plan, runs_directory: Path) -> SourceRun | None:
    """Return the run under `init_from` with its weights; None for a plan that starts from drawn weights.

    UsageError for a run that does not exist, did not finish, or has a different model; DataError for damaged files,
    and for weights whose digest is not the one in the configuration.
    """
    init_from = plan.config.init_from
    if init_from is None:
        return None
    if plan.network is None:
        raise UsageError(f"init_from: model {plan.config.model.name} has no initial weights; remove init_from")
    run = open_run(find_run(init_from.run, runs_directory))
    if run.network is None:
        raise UsageError(f"init_from: run {run.record.run_id} is of model {run.record.model}, which has no weights")
    _check_model(run.network, plan.network, run.record.run_id)
    if plan.info.encoding or run.preprocessing.encoding:
        _check_features(run.preprocessing.feature_names, plan.info.feature_names, run.record.run_id)
    weights = run.weights()
    digest = weights_digest(weights)
    if init_from.weights not in (None, digest):
        raise DataError(
            f"init_from: the weights of run {run.record.run_id} have the digest {digest[:12]}..., "
            f"but the configuration asks for {(init_from.weights or '')[:12]}..."
        )
    is_in_runs_directory = run.path.parent.resolve() == runs_directory.resolve()
    reference = run.path.name if is_in_runs_directory else str(run.path.resolve())
    return SourceRun(
        run.record, reference, dict(zip(plan.network.parameter_shapes(), weights.values(), strict=True)), digest
    )


def _check_model(found: Network, expected: Network, run_id: str) -> None:
    """UsageError unless the layers with weights, and those between them, agree; dropout and softmax have none."""
    if _without_dropout(found) != _without_dropout(expected):
        raise UsageError(
            f"init_from: run {run_id} has a different model\n"
            f"its model:  {_describe(found)}\nthis model: {_describe(expected)}"
        )


def _check_features(found: tuple[str, ...], expected: tuple[str, ...], run_id: str) -> None:
    """UsageError unless a table has the features that the weights were trained on, in the same order."""
    if found != expected:
        theirs = [name for name in found if name not in expected] or ["the same in another order"]
        ours = [name for name in expected if name not in found] or ["the same in another order"]
        raise UsageError(
            f"init_from: run {run_id} was trained on other features\n"
            f"only there: {listed(theirs, _MAX_LAYERS_SHOWN)}; only here: {listed(ours, _MAX_LAYERS_SHOWN)}"
        )


def _without_dropout(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if not isinstance(layer, Dropout | Softmax)]


def _describe(network: Network) -> str:
    layers = _without_dropout(network)
    shown = [layer_text(layer) for layer in layers[:_MAX_LAYERS_SHOWN]]
    n_more = len(layers) - len(shown)
    return ", ".join([*shown, f"and {n_more} more"] if n_more else shown)
