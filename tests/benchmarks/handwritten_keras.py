"""The opponent of the keras engine: `compile` and `fit` from arrays in memory, fed in every way that Keras takes.

The fastest counts. The last one is the tutorials' way, `fit` on a DataLoader over PIL images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, N_CLASSES, N_HIDDEN, Contestant, Fashion, Round, float_images
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
from tutorial_torch import tutorial_loader

from mlcli.engines.keras import keras  # Keras on PyTorch, as the engine has it


def new_model(input_shape: tuple[int, ...] = (784,), *first: keras.Layer) -> keras.Sequential:
    """784-512-10 with ReLU, compiled with RMSprop; `first` stands in front of it."""
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


def fitted(model: keras.Sequential, **arguments: Any) -> Contestant:
    """One epoch of `fit`."""

    def one_epoch() -> Round:
        history = model.fit(**arguments, epochs=1, verbose=0).history
        return Round(history["loss"][0], history["accuracy"][0])

    return one_epoch


def float_arrays(data: Fashion) -> Contestant:
    """numpy float32."""
    return fitted(new_model(), x=float_images(data), y=data.y.copy(), batch_size=BATCH_SIZE)


def float_tensors(data: Fashion) -> Contestant:
    """torch float32 tensors."""
    x, y = torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy())
    return fitted(new_model(), x=x, y=y, batch_size=BATCH_SIZE)


def byte_tensors(data: Fashion) -> Contestant:
    """torch uint8 tensors, scaled by a layer of the model."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    return fitted(new_model((784,), keras.layers.Rescaling(1 / 255)), x=x, y=y, batch_size=BATCH_SIZE)


def loader_of_batches(data: Fashion) -> Contestant:
    """A DataLoader that takes whole batches out of float32 tensors, with no work for each sample."""
    dataset = TensorDataset(torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy()))
    sampler = BatchSampler(RandomSampler(dataset), BATCH_SIZE, drop_last=False)
    return fitted(new_model(), x=DataLoader(dataset, sampler=sampler, batch_size=None))


def float_generator(data: Fashion) -> Contestant:
    """A Python generator of float32 tensors."""
    x, y = torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy())
    return _from_generator(x, y, lambda batch: batch)


def byte_generator(data: Fashion) -> Contestant:
    """A Python generator that gathers bytes and turns them to floats."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    return _from_generator(x, y, lambda batch: batch.float().mul_(1 / 255))


def _from_generator(x: Tensor, y: Tensor, scaled: Callable[[Tensor], Tensor]) -> Contestant:
    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for batch in torch.randperm(len(y)).split(BATCH_SIZE):
                yield scaled(x.index_select(0, batch)), y.index_select(0, batch)

    return fitted(new_model(), x=batches(), steps_per_epoch=-(-len(y) // BATCH_SIZE))


def loader_with_callback(data: Fashion) -> Contestant:
    """`loader_of_batches` with a callback after each batch, which keeps Keras from handing that moment to a thread."""
    dataset = TensorDataset(torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy()))
    sampler = BatchSampler(RandomSampler(dataset), BATCH_SIZE, drop_last=False)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    return fitted(new_model(), x=DataLoader(dataset, sampler=sampler, batch_size=None), callbacks=[callback])


def tutorial_fit(data: Fashion) -> Contestant:
    """`fit` on the DataLoader of the tutorials."""
    return fitted(new_model((1, 28, 28), keras.layers.Flatten()), x=tutorial_loader(data))
