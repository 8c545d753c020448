"""The nodes and constants of an ONNX graph while it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Nodes:
    """The nodes and constants of a graph. Each node has one output, which has a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, array: NDArray[Any], name: str | None = None) -> str:
        """Add a constant in the type of the array; return its name."""
        from onnx import numpy_helper

        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), name))  # keeps 0-d arrays 0-d
        return name

    def double(self, value: NDArray[np.float64] | float) -> str:
        """Add a constant in float64; return its name."""
        return self.constant(np.asarray(value, dtype=np.float64))

    def cast(self, name: str, dtype: type[np.generic]) -> str:
        """Add a conversion to a type; return the name of its output."""
        from onnx import helper

        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    @property
    def names(self) -> set[str]:
        """The names of all outputs and constants."""
        return {name for node in self.nodes for name in node.output} | {constant.name for constant in self.constants}
