"""The loop of the PyTorch tutorials: a DataLoader over PIL images, ToTensor, and `loss.item()` in every step."""

from __future__ import annotations

import torch
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, N_CLASSES, N_HIDDEN, Contestant, Fashion, Round
from torch import nn
from torch.utils.data import DataLoader

from mlcli.data.prepared import torchvision_datasets


def tutorial_loader(data: Fashion) -> DataLoader:
    """Return a shuffled DataLoader over the training images of torchvision's FashionMNIST."""
    datasets = torchvision_datasets()  # works even if the installed torchvision was built for another torch
    from torchvision.transforms import ToTensor

    training_data = datasets.FashionMNIST(root=data.folder, train=True, download=False, transform=ToTensor())
    return DataLoader(training_data, batch_size=BATCH_SIZE, shuffle=True)


def tutorial_epochs(data: Fashion) -> Contestant:
    """Train with the usual loop: forward, loss, backward, step."""
    loader = tutorial_loader(data)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, N_CLASSES))
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE, alpha=DECAY)

    def one_epoch() -> Round:
        model.train()
        total_loss, n_correct = 0.0, 0
        for images, labels in loader:
            optimizer.zero_grad()
            outputs = model(images)
            loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(labels)
            n_correct += (outputs.argmax(dim=1) == labels).sum().item()
        return Round(total_loss / len(loader.dataset), n_correct / len(loader.dataset))

    return one_epoch
