"""The opponent of the torch engine: plain training loops over tensors in memory, as fast as the public API allows.

Each function is a whole loop of its own, so that it can be read from top to bottom. They differ in how a batch comes
to be and in how the optimizer is called; the fastest counts. None waits for a value inside the epoch.
"""

from __future__ import annotations

import torch
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, N_CLASSES, N_HIDDEN, Contestant, Fashion, Round, float_images
from torch import Tensor, nn
from torch.nn import functional


def new_model() -> nn.Sequential:
    """784-512-10 with ReLU."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, N_CLASSES))


def bytes_gathered_by_epoch(data: Fashion, *, foreach: bool = True) -> Contestant:
    """The epoch's samples gathered once, as bytes; each batch turned to floats when its turn comes."""
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
        return seen(losses, scores, y_epoch)

    return one_epoch


def bytes_gathered_by_epoch_single_tensor(data: Fashion) -> Contestant:
    """The same with the optimizer going from parameter to parameter, torch's default on a CPU."""
    return bytes_gathered_by_epoch(data, foreach=False)


def bytes_gathered_by_batch(data: Fashion) -> Contestant:
    """Each batch gathered as bytes, and turned to floats while the processor still has it in its cache."""
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
        return seen(losses, scores, y_epoch)

    return one_epoch


def floats_gathered_by_batch(data: Fashion) -> Contestant:
    """Everything turned to floats beforehand, four times the memory; each batch gathered from that."""
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
        return seen(losses, scores, y_epoch)

    return one_epoch


def fused_adam_without_mean(data: Fashion) -> Contestant:
    """torch's fused Adam with beta1 = 0: RMSprop, but for a bias correction that is gone after a hundred steps."""
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
        return seen(losses, scores, y_epoch)

    return one_epoch


def own_update(data: Fashion) -> Contestant:
    """No optimizer object: gradients from autograd.grad, and RMSprop's two formulas in place."""
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
        return seen(losses, scores, y_epoch)

    return one_epoch


def seen(losses: list[Tensor], scores: Tensor, y: Tensor) -> Round:
    """Mean loss and accuracy of the epoch; the last batch, shorter than the others, counts by its samples."""
    lengths = torch.full((len(losses),), float(BATCH_SIZE))
    lengths[-1] = len(y) - BATCH_SIZE * (len(losses) - 1)
    loss = (torch.stack(losses) * lengths).sum() / len(y)
    return Round(float(loss), float((scores.argmax(dim=1) == y).float().mean()))
