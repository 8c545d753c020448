"""Baselines of the keras engine: `compile` and `fit` on arrays in memory, with each kind of input that Keras accepts.

The engine is compared with the fastest of them. The last baseline follows the tutorials: `fit` on a DataLoader over
PIL images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, N_CLASSES, N_HIDDEN, Contestant, Fashion, Round, float_images
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
from tutorial_torch import tutorial_loader

from mlcli.engines.keras import keras  # Keras with the PyTorch backend, configured as in the engine


def new_model(input_shape: tuple[int, ...] = (784,), *first: keras.Layer) -> keras.Sequential:
    """Return a 784-512-10 network with ReLU, compiled with RMSprop. The layers in `first` precede it."""
    model = keras.Sequential(
        [
            keras.Input(input_shape),
            *first,
            keras.layers.Dense(N_HIDDEN, activation="relu"),
            keras.layers.Dense(N_CLASSES),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=LEARNING_RATE, rho=DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def epoch_of_fit(model: keras.Sequential, **arguments: Any) -> Contestant:
    """Return a contestant that trains one epoch with `fit`."""

    def one_epoch() -> Round:
        history = model.fit(**arguments, epochs=1, verbose=0).history
        return Round(history["loss"][0], history["accuracy"][0])

    return one_epoch


def float_arrays(data: Fashion) -> Contestant:
    """Train on numpy float32 arrays."""
    return epoch_of_fit(new_model(), x=float_images(data), y=data.y.copy(), batch_size=BATCH_SIZE)


def float_tensors(data: Fashion) -> Contestant:
    """Train on torch float32 tensors."""
    x, y = torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy())
    return epoch_of_fit(new_model(), x=x, y=y, batch_size=BATCH_SIZE)


def byte_tensors(data: Fashion) -> Contestant:
    """Train on torch uint8 tensors, which a layer of the model scales."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    return epoch_of_fit(new_model((784,), keras.layers.Rescaling(1 / 255)), x=x, y=y, batch_size=BATCH_SIZE)


def loader_of_batches(data: Fashion) -> Contestant:
    """Train on a DataLoader that takes whole batches from float32 tensors, without work per sample."""
    dataset = TensorDataset(torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy()))
    sampler = BatchSampler(RandomSampler(dataset), BATCH_SIZE, drop_last=False)
    return epoch_of_fit(new_model(), x=DataLoader(dataset, sampler=sampler, batch_size=None))


def float_generator(data: Fashion) -> Contestant:
    """Train on a Python generator of float32 tensors."""
    x, y = torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy())
    return _from_generator(x, y, lambda batch: batch)


def byte_generator(data: Fashion) -> Contestant:
    """Train on a Python generator that gathers uint8 values and converts them to float32."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    return _from_generator(x, y, lambda batch: batch.float().mul_(1 / 255))


def _from_generator(x: Tensor, y: Tensor, scaled: Callable[[Tensor], Tensor]) -> Contestant:
    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for batch in torch.randperm(len(y)).split(BATCH_SIZE):
                yield scaled(x.index_select(0, batch)), y.index_select(0, batch)

    return epoch_of_fit(new_model(), x=batches(), steps_per_epoch=-(-len(y) // BATCH_SIZE))


def loader_with_callback(data: Fashion) -> Contestant:
    """Train as `loader_of_batches`, with a callback after each batch.

    The callback keeps Keras from running its end-of-batch work in another thread.
    """
    dataset = TensorDataset(torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy()))
    sampler = BatchSampler(RandomSampler(dataset), BATCH_SIZE, drop_last=False)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    return epoch_of_fit(new_model(), x=DataLoader(dataset, sampler=sampler, batch_size=None), callbacks=[callback])


def tutorial_fit(data: Fashion) -> Contestant:
    """Train with `fit` on the DataLoader of the tutorials."""
    return epoch_of_fit(new_model((1, 28, 28), keras.layers.Flatten()), x=tutorial_loader(data))
