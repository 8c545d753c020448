"""Contestants that train with libraries that wrap the training loop, written as their documentation shows, on tensors.

The time is measured from the start to the end of the epoch. The setup of the library before and after is excluded.
"""

from __future__ import annotations

from functools import partial

import torch
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, Contestant, Fashion, Round, clock, float_images
from handwritten_torch import new_model
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from mlcli.data.prepared import torchvision_datasets


def tensors(data: Fashion) -> TensorDataset:
    """Return the training images as float32 tensors with their labels."""
    return TensorDataset(torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy()))


def lightning_epochs(data: Fashion) -> Contestant:
    """Train with Lightning: a module with `training_step` that logs loss and accuracy."""
    torchvision_datasets()  # Lightning imports torchvision, which may have been built for another torch
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = new_model()

        def training_step(self, batch, batch_index):
            x, y = batch
            outputs = self.model(x)
            loss = functional.cross_entropy(outputs, y)
            accuracy = (outputs.argmax(dim=1) == y).float().mean()
            self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.RMSprop(self.parameters(), lr=LEARNING_RATE, alpha=DECAY)

    class Stopwatch(lightning.Callback):
        def on_train_epoch_start(self, *_: object) -> None:
            self.started = clock()

        def on_train_epoch_end(self, *_: object) -> None:
            self.seconds = clock() - self.started

    loader = DataLoader(tensors(data), batch_size=BATCH_SIZE, shuffle=True)
    classifier, stopwatch = Classifier(), Stopwatch()

    def one_epoch() -> Round:
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            callbacks=[stopwatch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(classifier, loader)
        metrics = trainer.callback_metrics
        return Round(float(metrics["loss"]), float(metrics["accuracy"]), stopwatch.seconds)

    return one_epoch


def skorch_epochs(data: Fashion) -> Contestant:
    """Train with skorch: a NeuralNetClassifier that computes the accuracy on the training data."""
    import skorch
    from skorch.callbacks import Callback, EpochScoring

    class Stopwatch(Callback):
        def on_epoch_begin(self, net, **_: object) -> None:
            self.started = clock()

        def on_epoch_end(self, net, **_: object) -> None:
            self.seconds = clock() - self.started

    stopwatch = Stopwatch()
    net = skorch.NeuralNetClassifier(
        new_model(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.RMSprop,
        optimizer__alpha=DECAY,
        lr=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("accuracy", EpochScoring("accuracy", name="accuracy", on_train=True, lower_is_better=False))],
        verbose=0,
    )
    net.initialize()
    net.callbacks_.append(("stopwatch", stopwatch))  # last, so that the measured time includes the scoring
    x, y = float_images(data), data.y.copy()

    def one_epoch() -> Round:
        net.partial_fit(x, y, epochs=1)
        return Round(net.history[-1, "train_loss"], net.history[-1, "accuracy"], stopwatch.seconds)

    return one_epoch


def accelerate_epochs(data: Fashion) -> Contestant:
    """Train with accelerate: the plain loop with a prepared model, optimizer and loader."""
    torchvision_datasets()  # as for Lightning
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    plain_model = new_model()
    model, optimizer, loader = accelerator.prepare(
        plain_model,
        torch.optim.RMSprop(plain_model.parameters(), lr=LEARNING_RATE, alpha=DECAY),
        DataLoader(tensors(data), batch_size=BATCH_SIZE, shuffle=True),
    )

    def one_epoch() -> Round:
        model.train()
        total_loss, n_correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for x, y in loader:
            optimizer.zero_grad()
            outputs = model(x)
            loss = functional.cross_entropy(outputs, y)
            accelerator.backward(loss)
            optimizer.step()
            total_loss += loss.detach() * len(y)
            n_correct += (outputs.argmax(dim=1) == y).sum()
        return Round(float(total_loss) / len(data.y), int(n_correct) / len(data.y))

    return one_epoch


def fastai_epochs(data: Fashion) -> Contestant:
    """Train with fastai: a Learner with the RMSprop of torch that computes the accuracy on the training data."""
    torchvision_datasets()  # as for Lightning
    from fastai.basics import Callback, CrossEntropyLossFlat, DataLoaders, Learner, OptimWrapper, accuracy

    class Stopwatch(Callback):
        order = 100  # after the recorder, so that the measured time includes its work

        def before_train(self) -> None:
            self.started = clock()

        def after_train(self) -> None:
            self.seconds = clock() - self.started

    dataset = tensors(data)
    few = TensorDataset(*dataset[:BATCH_SIZE])  # a Learner validates after each epoch; the time excludes this
    loaders = DataLoaders.from_dsets(dataset, few, bs=BATCH_SIZE, shuffle=True, num_workers=0, device="cpu")
    stopwatch = Stopwatch()
    learner = Learner(
        loaders,
        new_model(),
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(OptimWrapper, opt=torch.optim.RMSprop, alpha=DECAY),
        lr=LEARNING_RATE,
        metrics=accuracy,
        cbs=[stopwatch],
    )
    learner.recorder.train_metrics = True

    def one_epoch() -> Round:
        with learner.no_logging():
            learner.fit(1)
        names = [name for name in learner.recorder.metric_names if name not in ("epoch", "time")]
        values = dict(zip(names, learner.recorder.values[-1], strict=True))
        return Round(float(values["train_loss"]), float(values["train_accuracy"]), stopwatch.seconds)

    return one_epoch
