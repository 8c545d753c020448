"""EXPORTS: every format that a trained model can be written in. A new one is one file and one row here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from mlcli.convert.formats.contract import Export
from mlcli.errors import UsageError, unknown_name


@dataclass(frozen=True)
class ExportInfo:
    """A row of the table."""

    export: str  # "module:Class"
    suffix: str
    title: str


EXPORTS: dict[str, ExportInfo] = {
    "torch": ExportInfo("mlcli.convert.formats.torch:TorchExport", ".safetensors", "a PyTorch state_dict"),
    "keras": ExportInfo("mlcli.convert.formats.keras:KerasExport", ".keras", "a Keras model"),
    "sklearn": ExportInfo("mlcli.convert.formats.sklearn:SklearnExport", ".skops", "a scikit-learn classifier"),
    "onnx": ExportInfo("mlcli.convert.formats.onnx:OnnxExport", ".onnx", "an ONNX model"),
}


def export_info(name: str) -> ExportInfo:
    """The row of a format; UsageError with the nearest match for a name that is not there."""
    if name not in EXPORTS:
        raise UsageError(f"--to: {unknown_name('format', name, list(EXPORTS))}")
    return EXPORTS[name]


def load_export(name: str) -> Export:
    """The code of a format. Frameworks are imported only when it is used."""
    module, _, class_name = export_info(name).export.partition(":")
    return cast("Export", getattr(import_module(module), class_name)())
