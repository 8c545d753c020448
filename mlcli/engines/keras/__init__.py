"""The Keras engine, and the only import of Keras in mlcli: `from mlcli.engines.keras import keras`.

Keras reads its settings when it is imported, from the environment and from a file of the user. Here it has those of
mlcli: PyTorch as backend, the defaults for everything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from mlcli.errors import UsageError


def _keras_on_torch() -> ModuleType:
    import_module("torch")  # before Keras, which must not find it partly imported
    with _own_settings():
        module = import_module("keras")
    backend = module.backend.backend()
    if backend != "torch":
        raise UsageError(
            f"Keras was imported with the backend {backend} in this process, which cannot be changed\n"
            "set KERAS_BACKEND=torch before Keras is first imported"
        )
    return module


@contextmanager
def _own_settings() -> Iterator[None]:
    """Hide the settings of the user from Keras, and matplotlib, which it would import with those of the user."""
    # Inside a file there can be no keras.json, neither to read nor to write.
    of_user = _replaced_settings({"KERAS_BACKEND": "torch", "KERAS_HOME": os.devnull})
    hides_matplotlib = "matplotlib" not in sys.modules
    if hides_matplotlib:
        sys.modules["matplotlib"] = None  # type: ignore[assignment] # its import raises ImportError
    try:
        yield
    finally:
        if hides_matplotlib:
            del sys.modules["matplotlib"]
        _replaced_settings(of_user)


def _replaced_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Replace the environment variables of Keras, and return those that there were."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("KERAS_")}
    os.environ.update(settings)
    return before


if TYPE_CHECKING:
    import keras
else:
    keras = _keras_on_torch()

__all__ = ["keras"]
