"""Keras on PyTorch: the one place that imports Keras, with the backend chosen before the import settles it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from mlcli.errors import UsageError


def _keras_on_torch() -> ModuleType:
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    import_module("torch")  # first, so that Keras finds it whole
    module = import_module("keras")
    backend = module.backend.backend()
    if backend != "torch":
        raise UsageError(
            f"Keras already runs on {backend} in this process, and cannot change\n"
            "set KERAS_BACKEND=torch before keras is first imported"
        )
    return module


if TYPE_CHECKING:
    import keras
else:
    keras = _keras_on_torch()

__all__ = ["keras"]
