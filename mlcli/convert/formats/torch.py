"""The torch format: a `state_dict` in safetensors form, and code for its `nn.Sequential`. Writing needs no PyTorch."""

from __future__ import annotations

from mlcli.convert.formats import ModelFormat, TrainedModel, Usage, scaling_code
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Softmax
from mlcli.models.weights import weights_bytes

_ACTIVATIONS = {"relu": "nn.ReLU()", "tanh": "nn.Tanh()", "sigmoid": "nn.Sigmoid()", "gelu": "nn.GELU()"}


class TorchFormat(ModelFormat):
    """Writes the weights as they are; the layers and the scaling are in the code."""

    def content(self, model: TrainedModel) -> bytes:
        return weights_bytes(model.weights)

    def usage(self, model: TrainedModel, path: str) -> Usage:
        is_double = model.precision == "float64"
        samples = "torch.tensor(x).double()" if is_double else "torch.tensor(x).float()"
        array = "torch.tensor({}, dtype=torch.float64)" if is_double else "torch.tensor({})"
        layers = ",\n".join(f"    {_module_code(layer)}" for layer in model.network.layers)
        load = f"""\
import torch
from safetensors.torch import load_file
from torch import nn

model = nn.Sequential(
{layers},
){".double()" if is_double else ""}
model.load_state_dict(load_file({path}))
model.eval()
"""
        score = f"""\
with torch.inference_mode():
    scores = model({scaling_code(samples, model.scaling, array)})
labels = scores.argmax(dim=1)
"""
        return Usage(load, score, "probabilities" if model.network.ends_in_softmax else "logits")


def _module_code(layer: Layer) -> str:
    match layer:
        case Flatten():
            return "nn.Flatten()"
        case Linear():
            return f"nn.Linear({layer.n_in}, {layer.n_out})"
        case Activation():
            return _ACTIVATIONS[layer.kind]
        case Dropout():
            return f"nn.Dropout({layer.rate})"
        case Conv2d():
            return f'nn.Conv2d({layer.n_in}, {layer.n_out}, {layer.kernel_size}, padding="same")'
        case MaxPool2d():
            return "nn.MaxPool2d(2)"
        case Softmax():
            return "nn.Softmax(dim=1)"
