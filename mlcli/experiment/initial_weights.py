"""The initial weights of a plan: drawn from its seed, or those of a finished run, whichever engine trained it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlcli.engines.contract import Weights
from mlcli.errors import DataError, UsageError
from mlcli.experiment.digests import weights_digest
from mlcli.experiment.plan import Plan
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax
from mlcli.models.weights import as_precision
from mlcli.models.weights import initial_weights as draw_weights
from mlcli.runs.find import find_run

_MAX_LAYERS_SHOWN = 12


@dataclass(frozen=True)
class SourceRun:
    """The run under `init_from`. weights: under the names of the plan's network. digest: of the weights as stored."""

    run: StoredRun
    weights: Weights
    digest: str

    @property
    def note(self) -> str:
        record = self.run.record
        return f"starts from the weights of run {record.run_id}, trained on {record.dataset} by {record.backend}"


def drawn_weights(plan: Plan) -> Weights | None:
    """Return the weights drawn from the seed of a plan, in its precision; None for a model without weights."""
    if plan.network is None:
        return None
    return as_precision(draw_weights(plan.network, plan.config.seed), plan.config.runtime.precision)


def initial_weights(plan: Plan, runs_directory: Path) -> tuple[Weights | None, str | None]:
    """Return the weights that training starts from, in the plan's precision, and a note on the run they come from.

    The weights are None for a model that has none, and the note is None for weights drawn from the seed. Raises what
    `read_source` raises.
    """
    if plan.config.init_from is None or plan.network is None:
        return drawn_weights(plan), None
    source = read_source(plan, runs_directory)
    return as_precision(source.weights, plan.config.runtime.precision), source.note


def pin_initial_weights(plan: Plan, runs_directory: Path) -> Plan:
    """Return the plan with the full name of the run under `init_from`, and the digest of that run's weights.

    `last` and prefixes mean another run tomorrow. A plan that starts from drawn weights is returned unchanged. Raises
    what `read_source` raises.
    """
    init_from = plan.config.init_from
    if init_from is None:
        return plan
    source = read_source(plan, runs_directory)
    path = source.run.path
    is_in_runs_directory = path.parent.resolve() == runs_directory.resolve()
    name = path.name if is_in_runs_directory else str(path.resolve())
    init_from = init_from.model_copy(update={"run": name, "weights": source.digest})
    return replace(plan, config=plan.config.model_copy(update={"init_from": init_from}))


def read_source(plan: Plan, runs_directory: Path) -> SourceRun:
    """Return the run under `init_from`, which must be set, with its weights.

    UsageError for a run that does not exist, did not finish, or has a different model; DataError for damaged files,
    and for weights whose digest is not the one in the configuration.
    """
    init_from = plan.config.init_from
    if init_from is None or plan.network is None:
        raise UsageError(f"init_from: model {plan.config.model.name} has no initial weights; remove init_from")
    run = open_run(find_run(init_from.run, runs_directory))
    if run.network is None:
        raise UsageError(f"init_from: run {run.record.run_id} is of model {run.record.model}, which has no weights")
    _check_model(run.network, plan.network, run.record.run_id)
    weights = run.weights()
    digest = weights_digest(weights)
    if init_from.weights not in (None, digest):
        raise DataError(
            f"init_from: the weights of run {run.record.run_id} have the digest {digest[:12]}..., "
            f"but the configuration asks for {(init_from.weights or '')[:12]}..."
        )
    return SourceRun(run, dict(zip(plan.network.parameter_shapes(), weights.values(), strict=True)), digest)


def _check_model(found: Network, expected: Network, run_id: str) -> None:
    """UsageError unless the layers with weights, and those between them, agree; dropout and softmax have none."""
    if _without_dropout(found) != _without_dropout(expected):
        raise UsageError(
            f"init_from: run {run_id} has a different model\n"
            f"its model:  {_describe(found)}\nthis model: {_describe(expected)}"
        )


def _without_dropout(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if not isinstance(layer, Dropout | Softmax)]


def _describe(network: Network) -> str:
    layers = _without_dropout(network)
    shown = [_describe_layer(layer) for layer in layers[:_MAX_LAYERS_SHOWN]]
    n_more = len(layers) - len(shown)
    return ", ".join([*shown, f"and {n_more} more"] if n_more else shown)


def _describe_layer(layer: Layer) -> str:
    match layer:
        case Linear():
            return f"linear {layer.n_in} to {layer.n_out}"
        case Conv2d():
            return f"convolution {layer.n_in} to {layer.n_out} ({layer.kernel_size}x{layer.kernel_size})"
        case Activation():
            return layer.kind
        case Flatten():
            return "flatten"
        case MaxPool2d():
            return "2x2 max pooling"
        case Dropout() | Softmax():
            return type(layer).__name__.lower()
