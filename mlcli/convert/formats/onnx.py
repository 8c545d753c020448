"""The onnx format: standard operators, including the scaling, from raw samples to logits and probabilities."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli import __version__
from mlcli.convert.formats import ModelFormat, TrainedModel, Usage
from mlcli.convert.formats.onnx_columns import add_features, column_inputs, columns_usage, named_class
from mlcli.convert.formats.onnx_nodes import Nodes
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax

# Versions that every runtime since 2022 supports (onnx 1.12, ONNX Runtime 1.12).
_OPSET = 17
_ML_OPSET, _IR_VERSION = 3, 8
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


class OnnxFormat(ModelFormat):
    """Writes an .onnx file, in float32 also for a model in float64.

    A model of a table of one's own has an input for each column, and the outputs class_name and probabilities.
    """

    takes_columns = True

    def unsupported_reason(self, network: Network) -> str | None:
        missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
        return f"{' and '.join(missing)} must be installed: pip install 'mlcli[onnx]'" if missing else None

    def content(self, model: TrainedModel) -> bytes:
        import onnx

        document = onnx.helper.make_model(
            _Graph(model).finished(),
            opset_imports=[onnx.helper.make_opsetid(*opset) for opset in (("", _OPSET), ("ai.onnx.ml", _ML_OPSET))],
            ir_version=_IR_VERSION,
            producer_name="mlcli",
            producer_version=__version__,
        )
        onnx.checker.check_model(document, full_check=True)
        return document.SerializeToString()

    def usage(self, model: TrainedModel, path: str) -> Usage:
        if model.table is not None:
            return columns_usage(model.table, path)
        load = f"import onnxruntime\n\nsession = onnxruntime.InferenceSession({path})\n"
        score = 'scores = session.run(["logits"], {"x": x.astype("float32")})[0]\nlabels = scores.argmax(axis=1)\n'
        return Usage(load, score, "logits")


class _Graph:
    """A sequence of nodes, each of which takes the output of the previous one."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self._all = Nodes()
        self._last = "x"
        if model.table is not None:
            self._last = add_features(self._all, model.table)
        else:
            if model.scaling.shift is not None:
                self._add("Sub", self._constant("shift", model.scaling.shift))
            if model.scaling.scale is not None:
                self._add("Div", self._constant("scale", np.asarray(model.scaling.scale)))
        for index, layer in enumerate(model.network.layers):
            self._add_layer(index, layer)

    def finished(self) -> Any:
        """Return the graph with the outputs logits and probabilities, the softmax of the logits.

        Of a table of one's own, it has the name of the predicted class too.
        """
        from onnx import TensorProto, helper

        self._add("Identity", output="logits")
        self._add("Softmax", output="probabilities", axis=1)
        network, table = self._model.network, self._model.table
        value = helper.make_tensor_value_info
        outputs = [value(name, TensorProto.FLOAT, ["n", network.n_classes]) for name in ("logits", "probabilities")]
        if table is None:
            inputs = [value("x", TensorProto.FLOAT, ["n", *network.input_shape])]
        else:
            outputs.insert(0, value(named_class(self._all, table, "logits"), TensorProto.STRING, ["n"]))
            inputs = column_inputs(self._all, table)
        return helper.make_graph(self._all.nodes, network.kind, inputs, outputs, self._all.constants)

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
        return self._all.constant(np.asarray(array, dtype=np.float32), name)

    def _add(self, operator: str, *others: str, output: str | None = None, **attributes: Any) -> None:
        self._last = self._all.add(operator, self._last, *others, output=output, **attributes)
