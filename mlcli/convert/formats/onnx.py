"""The onnx format: standard operators, including the scaling, from raw samples to logits and probabilities."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli import __version__
from mlcli.convert.formats import ModelFormat, TrainedModel, Usage
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax

# Versions that every runtime since 2022 supports (onnx 1.12, ONNX Runtime 1.12).
_OPSET = 17
_IR_VERSION = 8
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


class OnnxFormat(ModelFormat):
    """Writes an .onnx file, in float32 also for a model in float64."""

    def unsupported_reason(self, network: Network) -> str | None:
        missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
        return f"{' and '.join(missing)} must be installed: pip install 'mlcli[onnx]'" if missing else None

    def content(self, model: TrainedModel) -> bytes:
        import onnx

        document = onnx.helper.make_model(
            _Graph(model).finished(),
            opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="mlcli",
            producer_version=__version__,
        )
        onnx.checker.check_model(document, full_check=True)
        return document.SerializeToString()

    def usage(self, model: TrainedModel, path: Path) -> Usage:
        load = f"import onnxruntime\n\nsession = onnxruntime.InferenceSession({str(path)!r})\n"
        score = 'scores = session.run(["logits"], {"x": x.astype("float32")})[0]\nlabels = scores.argmax(axis=1)\n'
        return Usage(load, score, "logits")


class _Graph:
    """A sequence of nodes, each of which takes the output of the previous one."""

    def __init__(self, model: TrainedModel) -> None:
        from onnx import TensorProto, helper, numpy_helper

        self._helper, self._numpy_helper, self._float = helper, numpy_helper, TensorProto.FLOAT
        self._model = model
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._last = "x"
        if model.scaling.shift is not None:
            self._add("Sub", self._constant("shift", model.scaling.shift))
        if model.scaling.scale is not None:
            self._add("Div", self._constant("scale", np.asarray(model.scaling.scale)))
        for index, layer in enumerate(model.network.layers):
            self._add_layer(index, layer)

    def finished(self) -> Any:
        """Return the graph with the outputs logits and probabilities, the softmax of the logits."""
        self._add("Identity", output="logits")
        self._add("Softmax", output="probabilities", axis=1)
        network = self._model.network
        scores: list[str | int | None] = ["n", network.n_classes]
        return self._helper.make_graph(
            self._nodes,
            network.kind,
            [self._helper.make_tensor_value_info("x", self._float, ["n", *network.input_shape])],
            [self._helper.make_tensor_value_info(name, self._float, scores) for name in ("logits", "probabilities")],
            self._constants,
        )

    def _add_layer(self, index: int, layer: Layer) -> None:
        match layer:
            case Flatten():
                self._add("Flatten", axis=1)
            case Linear():
                self._add("Gemm", *self._parameters(index), transB=1)
            case Conv2d():
                self._add("Conv", *self._parameters(index), pads=[layer.kernel_size // 2] * 4)
            case MaxPool2d():
                self._add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            case Activation(kind="gelu"):
                self._gelu()
            case Activation():
                self._add(_ACTIVATIONS[layer.kind])
            case Dropout() | Softmax():
                pass  # prediction drops nothing, and `finished` adds the softmax

    def _gelu(self) -> None:
        """Add x * (1 + erf(x / sqrt(2))) / 2, since the operator Gelu needs opset 20."""
        x = self._last
        self._add("Div", self._constant(f"root_two_{x}", np.array(math.sqrt(2))))
        self._add("Erf")
        self._add("Add", self._constant(f"one_{x}", np.array(1.0)))
        self._add("Mul", x)
        self._add("Mul", self._constant(f"half_{x}", np.array(0.5)))

    def _parameters(self, index: int) -> list[str]:
        return [self._constant(name, self._model.weights[name]) for name in (f"{index}.weight", f"{index}.bias")]

    def _constant(self, name: str, array: NDArray[np.floating]) -> str:
        contiguous = np.array(array, dtype=np.float32, order="C")  # keeps 0-d arrays 0-d
        self._constants.append(self._numpy_helper.from_array(contiguous, name))
        return name

    def _add(self, operator: str, *others: str, output: str | None = None, **attributes: Any) -> None:
        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(operator, [self._last, *others], [output], **attributes))
        self._last = output
