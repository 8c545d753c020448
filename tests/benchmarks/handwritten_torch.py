"""Baselines of the torch engine: hand-written training loops over tensors in memory, as fast as the public API allows.

Each function contains a complete loop, so that it can be read from top to bottom. The loops differ in how they gather
a batch and call the optimizer. The engine is compared with the fastest. No loop waits for a value during the epoch.
"""

from __future__ import annotations

import torch
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, N_CLASSES, N_HIDDEN, Contestant, Fashion, Round, float_images
from torch import Tensor, nn
from torch.nn import functional


def new_model() -> nn.Sequential:
    """Return a 784-512-10 network with ReLU, initialized with seed 0."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, N_CLASSES))


def bytes_gathered_by_epoch(data: Fashion, *, foreach: bool = True) -> Contestant:
    """Gather the samples of the epoch once as uint8, and convert each batch to float32 when it is needed."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    x_epoch = torch.empty_like(x)
    model = new_model()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE, alpha=DECAY, foreach=foreach)

    def one_epoch() -> Round:
        order = torch.randperm(len(y))
        torch.index_select(x, 0, order, out=x_epoch)
        y_epoch = y[order]
        scores = torch.empty(len(y), N_CLASSES)
        losses = []
        for start in range(0, len(y), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            outputs = model(x_epoch[batch].float().mul_(1 / 255))
            loss = functional.cross_entropy(outputs, y_epoch[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scores[batch] = outputs.detach()
            losses.append(loss.detach())
        return epoch_result(losses, scores, y_epoch)

    return one_epoch


def bytes_gathered_by_epoch_single_tensor(data: Fashion) -> Contestant:
    """Train as `bytes_gathered_by_epoch`, but update one parameter at a time (the default on a CPU)."""
    return bytes_gathered_by_epoch(data, foreach=False)


def bytes_gathered_by_batch(data: Fashion) -> Contestant:
    """Gather each batch as uint8, and convert it to float32 while it is still in the processor cache."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    model = new_model()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE, alpha=DECAY, foreach=True)

    def one_epoch() -> Round:
        order = torch.randperm(len(y))
        y_epoch = y[order]
        scores = torch.empty(len(y), N_CLASSES)
        losses = []
        for start in range(0, len(y), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            outputs = model(x.index_select(0, order[batch]).float().mul_(1 / 255))
            loss = functional.cross_entropy(outputs, y_epoch[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scores[batch] = outputs.detach()
            losses.append(loss.detach())
        return epoch_result(losses, scores, y_epoch)

    return one_epoch


def floats_gathered_by_batch(data: Fashion) -> Contestant:
    """Convert all samples to float32 beforehand (four times the memory), and gather each batch from them."""
    x, y = torch.from_numpy(float_images(data)), torch.from_numpy(data.y.copy())
    model = new_model()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE, alpha=DECAY, foreach=True)

    def one_epoch() -> Round:
        order = torch.randperm(len(y))
        y_epoch = y[order]
        scores = torch.empty(len(y), N_CLASSES)
        losses = []
        for start in range(0, len(y), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            outputs = model(x.index_select(0, order[batch]))
            loss = functional.cross_entropy(outputs, y_epoch[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scores[batch] = outputs.detach()
            losses.append(loss.detach())
        return epoch_result(losses, scores, y_epoch)

    return one_epoch


def fused_adam_without_mean(data: Fashion) -> Contestant:
    """Train with the fused Adam of torch and beta1 = 0.

    This is RMSprop with a bias correction that becomes negligible after about a hundred steps.
    """
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    x_epoch = torch.empty_like(x)
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, betas=(0.0, DECAY), fused=True)

    def one_epoch() -> Round:
        order = torch.randperm(len(y))
        torch.index_select(x, 0, order, out=x_epoch)
        y_epoch = y[order]
        scores = torch.empty(len(y), N_CLASSES)
        losses = []
        for start in range(0, len(y), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            outputs = model(x_epoch[batch].float().mul_(1 / 255))
            loss = functional.cross_entropy(outputs, y_epoch[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scores[batch] = outputs.detach()
            losses.append(loss.detach())
        return epoch_result(losses, scores, y_epoch)

    return one_epoch


def manual_update(data: Fashion) -> Contestant:
    """Train without an optimizer object: gradients from autograd.grad, and the two formulas of RMSprop in place."""
    x, y = torch.from_numpy(data.x.copy()).flatten(1), torch.from_numpy(data.y.copy())
    x_epoch = torch.empty_like(x)
    model = new_model()
    parameters = list(model.parameters())
    squares = [torch.zeros_like(parameter) for parameter in parameters]

    def one_epoch() -> Round:
        order = torch.randperm(len(y))
        torch.index_select(x, 0, order, out=x_epoch)
        y_epoch = y[order]
        scores = torch.empty(len(y), N_CLASSES)
        losses = []
        for start in range(0, len(y), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            outputs = model(x_epoch[batch].float().mul_(1 / 255))
            loss = functional.cross_entropy(outputs, y_epoch[batch])
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient, square in zip(parameters, gradients, squares, strict=True):
                    square.mul_(DECAY).addcmul_(gradient, gradient, value=1 - DECAY)
                    parameter.addcdiv_(gradient, square.sqrt().add_(1e-8), value=-LEARNING_RATE)
            scores[batch] = outputs.detach()
            losses.append(loss.detach())
        return epoch_result(losses, scores, y_epoch)

    return one_epoch


def epoch_result(losses: list[Tensor], scores: Tensor, y: Tensor) -> Round:
    """Return the mean loss and accuracy of the epoch, with the batches weighted by their number of samples."""
    lengths = torch.full((len(losses),), float(BATCH_SIZE))
    lengths[-1] = len(y) - BATCH_SIZE * (len(losses) - 1)
    loss = (torch.stack(losses) * lengths).sum() / len(y)
    return Round(float(loss), float((scores.argmax(dim=1) == y).float().mean()))
