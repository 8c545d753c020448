"""Import torchvision next to a torch that it was not built for."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module

_MISSING = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries = []  # torch forgets the operators of a Library that is garbage-collected


def torchvision_datasets():
    """Return `torchvision.datasets`.

    The torchvision wheel on PyPI is built for CUDA. Its compiled part does not load next to a CPU-only torch, and the
    import then fails because two operators, which the datasets do not use, have no schema. Only after exactly that
    failure, the schemas are declared and the import is repeated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the missing image extension, which the datasets do not need
        try:
            return import_module("torchvision.datasets")
        except RuntimeError as error:
            if str(error) != _MISSING:
                raise
        _declare_operators()
        return import_module("torchvision.datasets")


def _declare_operators():
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
