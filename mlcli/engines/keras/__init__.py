"""The Keras engine, and the only import of Keras in mlcli.

Keras fixes its backend when it is imported, so PyTorch is selected here, before the import:
`from mlcli.engines.keras import keras`.
"""

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
    import_module("torch")  # before Keras, which must not find it partly imported
    module = import_module("keras")
    backend = module.backend.backend()
    if backend != "torch":
        raise UsageError(
            f"Keras was imported with the backend {backend} in this process, which cannot be changed\n"
            "set KERAS_BACKEND=torch before Keras is first imported"
        )
    return module


if TYPE_CHECKING:
    import keras
else:
    keras = _keras_on_torch()

__all__ = ["keras"]
