"""What `mlcli train --summary` prints: layers, shapes and parameters of a model, as its engine has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from mlcli.config.schema import EstimatorModel
from mlcli.engines.contract import Engine
from mlcli.engines.registry import build_engine
from mlcli.experiment.initial_weights import initial_weights
from mlcli.experiment.plan import Plan, build_spec
from mlcli.models.summary import LayerSummary, summarize
from mlcli.records import Scaling
from mlcli.registry import backend_info
from mlcli.rendering import OutputFormat, print_json
from mlcli.rendering.tables import Row, print_csv, print_markdown, print_table

_SCHEMA_VERSION = 1
_Native = Mapping[str, tuple[str, tuple[int, ...]]]  # name and shape of each weight in the framework


def print_model_summary(plan: Plan, n_threads: int, output_format: str) -> None:
    """Build the model of a plan, without data, and print its layers, or the parameters of an estimator, to stdout."""
    engine = _untrained(plan, n_threads)
    layers, native, parameters = summarize(plan.network), engine.native_shapes(), engine.parameters()
    rows = _layer_rows(layers, native, plan.backend) or _parameter_rows(parameters)
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            document = _description(plan) | {"layers": _layer_values(layers, native), "parameters": parameters}
            print_json({"schema_version": _SCHEMA_VERSION} | document)
        case OutputFormat.CSV:
            print_csv(rows)
        case OutputFormat.MARKDOWN:
            print_markdown(rows)
        case OutputFormat.TABLE:
            print_table(_title(plan), rows)


def _untrained(plan: Plan, n_threads: int) -> Engine:
    """Return the engine of a plan with weights drawn from its seed; on the CPU, so that no GPU is needed."""
    n_classes = plan.info.n_classes
    spec = build_spec(plan.config, plan.network, n_classes=n_classes, scaling=Scaling("none"), threads=n_threads)
    spec = replace(spec, runtime=replace(spec.runtime, device="cpu"))
    return build_engine(plan.backend, spec, initial_weights(plan))


def _description(plan: Plan) -> dict[str, object]:
    model = plan.config.model
    return {
        "experiment": plan.config.name,
        "backend": plan.backend,
        "model": model.name,
        "estimator": model.estimator if isinstance(model, EstimatorModel) else None,
        "input_shape": plan.info.input_shape,
        "n_classes": plan.info.n_classes,
        "n_parameters": plan.network.n_parameters if plan.network else None,
    }


def _title(plan: Plan) -> str:
    model, title = plan.config.model, backend_info(plan.backend).title
    if isinstance(model, EstimatorModel):
        return f"{plan.config.name}: {model.estimator} of {title}"
    n_parameters = plan.network.n_parameters if plan.network else 0
    return f"{plan.config.name}: {model.name} on {title}, {n_parameters:,} parameters"


def _layer_values(layers: Sequence[LayerSummary], native: _Native) -> list[dict[str, object]]:
    values = []
    for layer in layers:
        own = {native[name][0]: native[name][1] for name in layer.weight_shapes}
        values.append(asdict(layer) | {"native_shapes": own})
    return values


def _layer_rows(layers: Sequence[LayerSummary], native: _Native, backend: str) -> list[Row]:
    """Return one row per weight, or per layer without weights; the output is that of one sample.

    The names and shapes of weights are those of PyTorch; another engine has a column of its own.
    """
    rows: list[Row] = []
    for layer in layers:
        shown = {"layer": f"{layer.index} {layer.text}", "output": _shape(layer.output_shape)}
        for name, shape in (layer.weight_shapes or {"": ()}).items():
            row: dict[str, object] = {**shown, "weight": f"{name} {_shape(shape)}" if name else None}
            if backend != "torch":
                row[f"in {backend}"] = f"{native[name][0]} {_shape(native[name][1])}" if name else None
            rows.append(row | {"parameters": math.prod(shape) if name else None})
            shown = dict.fromkeys(shown, "")
    return rows


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _parameter_rows(parameters: Mapping[str, object]) -> list[Row]:
    return [{"parameter": name, "value": str(value)} for name, value in parameters.items()]
