"""The JSON documents of all commands as types, from which their schemas are derived.

Records are the source: a document is described by the fields of the record that is printed, and by what the report adds
to them. Every key is required, and no other key is allowed; a test holds real documents to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mlcli.batch_bench.records import BatchBenchRecord, BenchAdvice, BenchEngine
from mlcli.compare.records import MEASUREMENTS, Failure, MatrixCost, Pair, PlannedCell, ReceiptPart
from mlcli.compare.statistics.accuracy import AccuracyDifference
from mlcli.compare.statistics.folds import FoldsDifference
from mlcli.compare.statistics.intervals import MeanInterval
from mlcli.compare.statistics.scores import ScoreDifference
from mlcli.compare.statistics.times import TimeRatio
from mlcli.compare.statistics.verdicts import Verdict
from mlcli.convert.conversion import Conversion
from mlcli.data.description import DatasetDescription
from mlcli.data.inventory import FetchedDataset, ListedDataset, VerifiedFile
from mlcli.data.own.inspection import Inspection
from mlcli.doctor.diagnosis import Diagnosis
from mlcli.errors import ExitCode
from mlcli.evaluate.evaluate import Evaluation, PredictionTime
from mlcli.models.summary import LayerSummary
from mlcli.parity.parity import ParityReport, ParityStep
from mlcli.predict.predict import Prediction
from mlcli.records import EpochRecord, RunRecord, Timing
from mlcli.registry import METRICS

Fields = Mapping[str, Any]  # name to type
_SPLITS = ("test", "validation", "train")


def document_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a command prints; command: a name in schema.DOCUMENTS."""
    alternatives = [_model(name, document) for name, document in _DOCUMENTS[command]().items()]
    whole: Any = alternatives[0]
    for alternative in alternatives[1:]:
        whole = whole | alternative
    schema = _strict(TypeAdapter(whole).json_schema(mode="serialization", schema_generator=_Generator))
    title = "error of mlcli" if command == "error" else f"mlcli {command} --format json"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


class _Generator(GenerateJsonSchema):
    """Numbers may be null, which is how numbers that are not finite are written."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"type": ["number", "null"]}


def _strict(value: Any) -> Any:
    """Return a schema in which an object has all of its keys and no others."""
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    strict = {key: _strict(item) for key, item in value.items() if key not in ("title", "default")}
    if isinstance(value.get("properties"), dict):
        properties = {key: _strict(item) for key, item in value["properties"].items()}
        strict |= {"properties": properties, "required": list(properties), "additionalProperties": False}
    return strict


def _model(name: str, document: Fields) -> Any:
    """Return the type of an object with these keys."""
    return create_model(name, **{key: (kind, ...) for key, kind in document.items()})  # type: ignore[call-overload]


def _objects(name: str, document: Fields) -> Any:
    """Return the type of a list of objects with these keys."""
    return list[_model(name, document)]  # type: ignore[misc]


def _fields(record: type, **names: Any) -> dict[str, Any]:
    """Return the types of the fields of a record by name. names: the types that its module imports only for checks."""
    assert is_dataclass(record)
    hints = get_type_hints(record, localns=names)
    return {field.name: hints[field.name] for field in fields(record)}


def _rows(name: str, row: Fields) -> dict[str, Fields]:
    return {f"{name}Document": {"schema_version": int, "rows": _objects(name, row)}}


_RUN: Fields = _fields(RunRecord)


def _train() -> dict[str, Fields]:
    plan = {"schema_version": int, "plan": dict[str, str | float | None], "config": dict[str, Any]}
    steps = dict.fromkeys(("batch_size", "steps_per_epoch", "last_batch_size"), int | None)
    run = {**_RUN, "directory": str, "is_reused": bool, **steps}
    return {"TrainedRun": run, "Plan": plan, "ModelSummary": _model_summary()}


def _model_summary() -> Fields:
    return {
        "schema_version": int,
        "experiment": str,
        "backend": str,
        "model": str,
        "estimator": str | None,
        "input_shape": list[int],
        "n_classes": int,
        "n_parameters": int | None,
        "layers": _objects("Layer", {**_fields(LayerSummary), "native_shapes": dict[str, list[int]]}),
        "parameters": dict[str, Any],
    }


def _runs_list() -> dict[str, Fields]:
    parts = ("metrics", "timing", "notes", "digests", "mlcli_version", "schema_version")
    details = ("kept_epoch", "n_train_samples", "median_epoch_seconds")
    row = {name: kind for name, kind in _RUN.items() if name not in (*parts, *details)}
    row |= {f"{split}_{score}": float | None for split in _SPLITS for score in ("accuracy", "loss")}
    row |= {name: kind | None for name, kind in _fields(Timing).items()}
    row |= {f"test_{name}": float | None for name in METRICS}
    return _rows("ListedRun", row | {"directory": str})


def _runs_show() -> dict[str, Fields]:
    return {"StoredRun": {**_RUN, "directory": str, "history": list[EpochRecord]}}


def _evaluate() -> dict[str, Fields]:
    time = _model("Time", {**_fields(PredictionTime), "median_seconds": float})
    document = {**_fields(Evaluation), "confusion": list[list[int]], "time": time}
    return {"Evaluation": {"schema_version": int, **document}}


def _predict() -> dict[str, Fields]:
    return {"Prediction": {"schema_version": int, **_fields(Prediction)}}


def _convert() -> dict[str, Fields]:
    return {"Conversion": {"schema_version": int, **_fields(Conversion), "is_within": bool}}


def _parity() -> dict[str, Fields]:
    pair = {
        "first": str,
        "second": str,
        "verdict": Literal["equal", "different", "not compared"],
        "largest_loss_difference": float | None,
        "largest_weight_difference": float | None,
        "tolerance": float,
        "first_step_beyond": int | None,
        "reason": str | None,
        "steps": list[ParityStep],
    }
    report = {**_fields(ParityReport), "precision": str, "pairs": _objects("Pair", pair)}
    return {"Parity": {"schema_version": int, **report}}


def _batch_bench() -> dict[str, Fields]:
    products = _objects("MatrixProduct", {"n": int, "seconds": list[float]})
    engine = {**_fields(BenchEngine), "peak_flops": float | None, "matrix_products": products}
    advice = {**_fields(BenchAdvice), "sentence": str}
    record = {**_fields(BatchBenchRecord), "engines": _objects("Engine", engine), "advice": _objects("Advice", advice)}
    return {"BatchBench": record}


def _receipt_fields() -> Fields:
    row = {"part": ReceiptPart, "what": str, "is_equal": bool, "values": list[str | None]}
    return {"runs": list[str], "rows": _objects("ReceiptRow", row)}


def _receipt() -> dict[str, Fields]:
    return {"Receipt": {"schema_version": int, **_receipt_fields()}}


def _compare() -> dict[str, Fields]:
    drawn = {"seed": int, "split_seed": int | None, "fold": int | None}
    measured = {"run_id": str, "directory": str, "is_reused": bool, **drawn}
    variant = {
        "label": str,
        "settings": dict[str, str],
        "n_runs": int,
        "means": _model("Means", dict.fromkeys(MEASUREMENTS, MeanInterval | None)),
        "runs": _objects("MeasuredRun", measured | dict.fromkeys(MEASUREMENTS, float | None)),
        "failures": list[Failure],
    }
    records = (AccuracyDifference, FoldsDifference, ScoreDifference, TimeRatio, Verdict)
    types = {record.__name__: record for record in records}
    pair = {**_fields(Pair, **types), **dict.fromkeys(("accuracy_is", "time_is", "score_is"), str | None)}
    comparison = {
        "schema_version": int,
        "name": str,
        "dataset": str,
        "metric": str,
        "reference": str | None,
        "variants": _objects("Variant", variant),
        "pairs": _objects("VariantPair", pair),
        "conclusions": list[str],
        "next_step": str | None,
        "method": str,
        "notes": list[str],
        "receipt": _model("Comparability", _receipt_fields()) | None,
        "cost": MatrixCost | None,
    }
    plan = {"schema_version": int, "cells": list[PlannedCell], "seconds": float | None, "n_without_estimate": int}
    return {"Comparison": comparison, "PlannedCells": plan}


def _error() -> dict[str, Fields]:
    kinds = Literal[tuple(code.name.lower() for code in ExitCode if code)]  # type: ignore[valid-type]
    error = {"message": str, "exit_code": int, "kind": kinds}
    return {"Error": {"schema_version": int, "error": _model("ErrorDetails", error)}}


_DOCUMENTS: Mapping[str, Callable[[], dict[str, Fields]]] = {
    "train": _train,
    "compare": _compare,
    "evaluate": _evaluate,
    "predict": _predict,
    "convert": _convert,
    "parity": _parity,
    "batch-bench": _batch_bench,
    "receipt": _receipt,
    "runs list": _runs_list,
    "runs show": _runs_show,
    "data list": lambda: _rows("ListedDataset", _fields(ListedDataset)),
    "data show": lambda: {"DatasetDescription": {"schema_version": int, **_fields(DatasetDescription)}},
    "data inspect": lambda: {"Inspection": {"schema_version": int, **_fields(Inspection)}},
    "data fetch": lambda: _rows("FetchedDataset", _fields(FetchedDataset)),
    "data verify": lambda: _rows("VerifiedFile", _fields(VerifiedFile)),
    "config list": lambda: _rows("ShippedConfiguration", {"name": str, "description": str}),
    "doctor": lambda: {"Diagnosis": _fields(Diagnosis)},
    "error": _error,
}
