"""The keras format: a `Sequential` of standard Keras layers, including the scaling, which takes raw samples.

Samples are channels-first, as in mlcli. Convolutions are channels-last, which every backend of Keras supports on a CPU,
between two Permute layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mlcli.convert.formats import ModelFormat, TrainedModel, Usage
from mlcli.files import disk_errors
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax
from mlcli.records import Scaling


class KerasFormat(ModelFormat):
    """Writes a .keras file, in float32 also for a model in float64."""

    def content(self, model: TrainedModel) -> bytes:
        from mlcli.engines.keras import keras
        from mlcli.engines.keras.model import from_canonical

        network = model.network
        weights = [from_canonical(model.weights[name]).astype(np.float32) for name in network.parameter_shapes()]
        with self.on_cpu(), TemporaryDirectory(prefix="mlcli-") as directory:
            layers = [keras.Input(network.input_shape), *_scaling_layers(model.scaling), *_layers(network)]
            sequential = keras.Sequential(layers, name=network.kind)
            sequential.set_weights(weights)
            path = Path(directory, "model.keras")  # Keras saves only to files
            with disk_errors(path):
                sequential.save(path)
            return path.read_bytes()

    def usage(self, model: TrainedModel, path: str) -> Usage:
        load = f"import keras\n\nmodel = keras.saving.load_model({path})\n"
        score = "scores = model.predict(x, batch_size=1024, verbose=0)\nlabels = scores.argmax(axis=1)\n"
        return Usage(load, score, "probabilities" if model.network.ends_in_softmax else "logits")

    def on_cpu(self) -> AbstractContextManager[object]:
        from mlcli.engines.keras import keras

        return keras.device("cpu")


def _scaling_layers(scaling: Scaling) -> Iterator[Any]:
    from mlcli.engines.keras import keras

    if scaling.shift is None:
        if scaling.scale is not None:
            yield keras.layers.Rescaling(1 / np.asarray(scaling.scale, dtype=np.float64).item())
        return
    scale = np.asarray(1.0 if scaling.scale is None else scaling.scale, dtype=np.float64)
    axis = None if scaling.shift.ndim == 0 else -1
    yield keras.layers.Normalization(axis=axis, mean=scaling.shift, variance=scale**2)


def _layers(network: Network) -> Iterator[Any]:
    from mlcli.engines.keras import keras

    has_images = any(isinstance(layer, Conv2d) for layer in network.layers)
    if has_images:
        yield keras.layers.Permute((2, 3, 1))
    for layer in network.layers:
        if has_images and isinstance(layer, Flatten):
            yield keras.layers.Permute((3, 1, 2))
        yield _layer(layer)


def _layer(layer: Layer) -> Any:
    from mlcli.engines.keras import keras

    match layer:
        case Flatten():
            return keras.layers.Flatten(data_format="channels_last")
        case Linear():
            return keras.layers.Dense(layer.n_out)
        case Activation():
            return keras.layers.Activation(layer.kind)
        case Dropout():
            return keras.layers.Dropout(layer.rate)
        case Conv2d():
            return keras.layers.Conv2D(layer.n_out, layer.kernel_size, padding="same", data_format="channels_last")
        case MaxPool2d():
            return keras.layers.MaxPooling2D(2, data_format="channels_last")
        case Softmax():
            return keras.layers.Softmax()
