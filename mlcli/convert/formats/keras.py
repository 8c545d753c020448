"""A `.keras` file: a plain Sequential of Keras's own layers, the scaling included, so that it takes raw samples.

Samples come in as they are stored, channels first. Convolutions are computed channels last, which every backend of
Keras can do on a CPU, between two Permute layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.convert.formats.contract import Export, TrainedModel, Usage
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax
from mlcli.records import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From the canonical orientation to Keras's, by the number of axes of the weight.
_FROM_CANONICAL = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


class KerasExport(Export):
    """See the contract. The file is float32, also for a model in float64."""

    def write(self, model: TrainedModel, path: Path) -> None:
        from mlcli.engines.keras import keras

        network = model.network
        layers = [keras.Input(network.input_shape), *_scaling_layers(model.scaling), *_layers(network)]
        with self.on_cpu():
            sequential = keras.Sequential(layers, name=network.kind)
            sequential.set_weights([_from_canonical(model.weights[name]) for name in network.parameter_shapes()])
            sequential.save(path)

    def usage(self, model: TrainedModel, path: Path) -> Usage:
        load = f"""\
import keras

model = keras.saving.load_model({str(path)!r})
"""
        score = "scores = model.predict(x, batch_size=1024, verbose=0)\nlabels = scores.argmax(axis=1)\n"
        return Usage(load, score, "probabilities" if model.network.ends_in_softmax else "logits")

    def on_cpu(self) -> AbstractContextManager[object]:
        from mlcli.engines.keras import keras

        context: AbstractContextManager[object] = keras.device("cpu")
        return context


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


def _from_canonical(array: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array.transpose(_FROM_CANONICAL[array.ndim]), dtype=np.float32)
