"""Starting from the weights of a finished run, in any engine that has its model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.engines.contract import Weights
from mlcli.errors import DataError, UsageError
from mlcli.experiment.digests import weights_digest
from mlcli.experiment.plan import Plan
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.models.initial_weights import as_precision, initial_weights
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_MOST_LAYERS_SHOWN = 12


@dataclass(frozen=True)
class Start:
    """The weights that a plan starts from, under the names that its own network has for them, and their run."""

    run: StoredRun
    weights: dict[str, NDArray[np.floating]]

    @property
    def note(self) -> str:
        record = self.run.record
        return f"starts from the weights of run {record.run_id}, trained on {record.dataset} by {record.backend}"


def pin_initial_weights(plan: Plan, runs_directory: Path) -> Plan:
    """The plan with the run that it starts from named for good, and the digest of that run's weights.

    `last` and prefixes mean another run tomorrow. A plan that starts from drawn weights comes back as it is. Raises
    what `read_start` raises.
    """
    init_from = plan.config.init_from
    if init_from is None:
        return plan
    run = read_start(plan, runs_directory).run
    is_at_home = run.path.parent.resolve() == runs_directory.resolve()
    named = run.path.name if is_at_home else str(run.path.resolve())
    init_from = init_from.model_copy(update={"run": named, "weights": weights_digest(run.weights())})
    return replace(plan, config=plan.config.model_copy(update={"init_from": init_from}))


def read_start(plan: Plan, runs_directory: Path) -> Start:
    """The weights of the run under `init_from`, which must be there.

    UsageError for a run that is not there or did not finish, or whose model is another one; DataError for damaged
    files, and for weights that are not those of the digest that the configuration states.
    """
    init_from = plan.config.init_from
    if init_from is None or plan.network is None:
        raise UsageError(f"init_from: model {plan.config.model.name} starts from no weights; remove init_from")
    run = open_run(init_from.run, runs_directory)
    if run.network is None:
        raise UsageError(f"init_from: run {run.record.run_id} is of model {run.record.model}, which has no weights")
    _check_model(run.network, plan.network, run.record.run_id)
    weights = run.weights()
    found = weights_digest(weights)
    if init_from.weights not in (None, found):
        raise DataError(
            f"init_from: the weights of run {run.record.run_id} have the digest {found[:12]}..., "
            f"and the configuration asks for {(init_from.weights or '')[:12]}..."
        )
    return Start(run, dict(zip(plan.network.parameter_shapes(), weights.values(), strict=True)))


def starting_weights(plan: Plan, runs_directory: Path) -> tuple[Weights | None, str | None]:
    """The weights that a plan starts from, in its precision, and where they come from in words, if from a run.

    None for a model that has no weights. Raises what `read_start` raises.
    """
    if plan.network is None:
        return None, None
    note = None
    if plan.config.init_from:
        start = read_start(plan, runs_directory)
        chosen: Weights = start.weights
        note = start.note
    else:
        chosen = initial_weights(plan.network, plan.config.seed)
    return as_precision(chosen, plan.config.runtime.precision), note


def _check_model(there: Network, here: Network, run_id: str) -> None:
    """Dropout and a final softmax have no weights, and may differ."""
    if _bare(there) != _bare(here):
        raise UsageError(
            f"init_from: the model of run {run_id} is another one\nthere: {_in_words(there)}\nhere:  {_in_words(here)}"
        )


def _bare(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if not isinstance(layer, Dropout | Softmax)]


def _in_words(network: Network) -> str:
    layers = _bare(network)
    words = [_layer_in_words(layer) for layer in layers[:_MOST_LAYERS_SHOWN]]
    n_more = len(layers) - len(words)
    return ", ".join([*words, f"and {n_more} more"] if n_more else words)


def _layer_in_words(layer: Layer) -> str:
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
