"""The import of torchvision, also beside a PyTorch that its compiled part was not built for."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

from mlcli.errors import MlcliError

# torch forgets the operators of a Library that is collected.
_kept: list[Any] = []

_MISSING = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def torchvision_datasets() -> ModuleType:
    """`torchvision.datasets`; MlcliError with the reason where it cannot be imported.

    The torchvision wheel of the package index is built for CUDA. Beside a CPU-only torch its compiled part does not
    load, and the import then fails because two operators, of no use to the datasets, have no schema. Only when it
    failed with exactly that, the schemas are declared and the import is made again.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the missing image extension, which IDX files do not need
            return _imported()
    except (ImportError, OSError, RuntimeError) as error:
        raise MlcliError(
            f"torchvision, which decodes these images, cannot be imported: {error}\n"
            "install the torchvision that belongs to the installed torch"
        ) from error


def _imported() -> ModuleType:
    try:
        return import_module("torchvision.datasets")
    except RuntimeError as error:
        if str(error) != _MISSING:
            raise
    _declare_operators()
    return import_module("torchvision.datasets")


def _declare_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    make_library: Any = torch.library.Library  # carries no annotations
    library = make_library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept.append(library)
