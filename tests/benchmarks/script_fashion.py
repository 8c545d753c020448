"""The baseline of `mlcli train --backend torch --dataset fashion --epochs 1`: a plain script that does the same work.

Reads the unpacked IDX files with numpy, trains mlcli's default network (784-256-10) for one epoch of Adam, and prints
its accuracy on the test images. Images are stored as uint8 and converted batch by batch, which saves memory.

    python script_fashion.py FOLDER_WITH_THE_IDX_FILES
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def images(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.fromfile(path, dtype=np.uint8)[16:].reshape(-1, 784))


def labels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.fromfile(path, dtype=np.uint8)[8:].astype(np.int64))


folder = Path(sys.argv[1])
x_train, y_train = images(folder / "train-images-idx3-ubyte"), labels(folder / "train-labels-idx1-ubyte")
x_test, y_test = images(folder / "t10k-images-idx3-ubyte"), labels(folder / "t10k-labels-idx1-ubyte")

torch.set_flush_denormal(True)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

for batch in torch.randperm(len(x_train)).split(128):
    loss = functional.cross_entropy(model(x_train[batch].float() / 255), y_train[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.inference_mode():
    outputs = model(x_test.float() / 255)
    accuracy = (outputs.argmax(dim=1) == y_test).float().mean()
    print(f"accuracy {accuracy:.4f}, loss {functional.cross_entropy(outputs, y_test):.4f}")
