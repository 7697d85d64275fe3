"""The ONNX graph that a Darknet network becomes, node by node.

Guarantees: names begin with ``layer<number>.``, so that a node's layer is known; values and constants are unique.
Does not guarantee: shapes; the ONNX importer computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Attribute = int | float | Sequence[int]


class GraphWriter:
    """outputs[k]: the value that layer k gives; the loader appends to it and moves ``layer`` on."""

    def __init__(self) -> None:
        self.layer = 0
        self.outputs: list[str] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, op_type: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """Append a node of the current layer and return the name of its output."""
        name = f"layer{self.layer}.{op_type.lower()}"
        self._nodes.append(_node(op_type, inputs, name, attributes))
        return f"{name}.out"

    def activation(self, x: str, op_type: str, attributes: dict[str, float]) -> str:
        """``node``, or ``x`` itself for the empty operator."""
        return self.node(op_type, [x], **attributes) if op_type else x

    def constant(self, name: str, array: NDArray[np.float32]) -> str:
        full = f"layer{self.layer}.{name}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), full))
        return full

    def finish(self, name: str, shape: Sequence[int], output: str) -> onnx.ModelProto:
        """The model with input ``input`` (1, *shape) and the value ``output`` as its output."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, *shape])],
            [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
            self._constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _node(op_type: str, inputs: Sequence[str], name: str, attributes: Mapping[str, Attribute]) -> onnx.NodeProto:
    node = helper.make_node(op_type, list(inputs), [f"{name}.out"], name=name)
    node.attribute.extend(helper.make_attribute(key, attributes[key]) for key in sorted(attributes))
    return node
