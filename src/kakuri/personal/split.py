"""A classifier as trunk and head.

Purpose: ``split(net)`` cuts before the last dense layer, ``tapped(net, layer)`` after any layer; ``with_head`` and
``with_weights`` put a model together again.
Guarantees: head(trunk(x)) equals net(x) up to float rounding after ``split``; a net that does not end in a dense layer
is refused.
Does not guarantee: bit-equality with the uncut net; kernels may fuse differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import (
    constant,
    fresh_name,
    input_of,
    is_op,
    remove_unused,
    required_input,
    static_shape,
    value_names,
)
from kakuri.model.passes.normalize_linear import normalize_linear
from kakuri.model.serialize import from_bytes, to_bytes
from kakuri.personal.linear import Head

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class SplitModel:
    """trunk: input -> features (1, d). head: features -> scores."""

    trunk: ir.Model
    head: Head

    @property
    def features(self) -> int:
        return int(self.head.weight.shape[1])


def split(net: ir.Model) -> SplitModel:
    """Raises KK-P04 when ``net`` is not a classifier of one input that ends in a dense layer (a Softmax may follow)."""
    net = normalize_linear(net)
    last = net.graph.outputs[0].producer() if len(net.graph.outputs) == 1 else None
    if is_op(last, "Softmax", "LogSoftmax") and last is not None:
        last = required_input(last).producer()
    weight = constant(input_of(last, 1)) if last is not None and is_op(last, "Gemm") else None
    if last is None or weight is None or len(net.graph.inputs) != 1 or len(static_shape(net.graph.inputs[0])) != 4:
        raise KakuriError(
            "KK-P04",
            "personalisation needs a classifier: one input (1, C, H, W), and a dense layer at the end",
            got=None if last is None else last.op_type,
            hint="end the network in a linear layer, with or without a softmax behind it",
        )
    bias = constant(input_of(last, 2)) if len(last.inputs) > 2 else None
    head = Head(
        weight.astype(np.float32), np.zeros(len(weight), np.float32) if bias is None else bias.astype(np.float32)
    )
    return SplitModel(_ending_at(net, required_input(last)), head)


def layers(net: ir.Model) -> tuple[str, ...]:
    """Names of the nodes after which ``tapped`` can cut: those that make maps (1, C, H, W) or vectors (1, d)."""
    return tuple(node.name or "" for node in normalize_linear(net).graph if _width(node.outputs[0]))


def tapped(net: ir.Model, layer: str, cells: int = 3) -> ir.Model:
    """The trunk that ends after the node ``layer``; a map is averaged to about ``cells`` x ``cells`` and flattened.

    A person whom the network does not know differs from the others in maps that its last layers fold together.
    Raises KK-P07 for a name that ``layers`` does not give.
    """
    net = normalize_linear(net)
    found = next((node for node in net.graph if node.name == layer and _width(node.outputs[0])), None)
    if found is None:
        limit = ", ".join(layers(net)[-12:])
        raise KakuriError("KK-P07", "the model has no such layer to end at", got=repr(layer)[:80], limit=limit)
    value = found.outputs[0]
    net = _ending_at(net, value)
    value = net.graph.outputs[0]
    shape = static_shape(value)
    if len(shape) == 4:
        kernel = [max(1, round(side / cells)) for side in shape[2:]]
        left = [side // size for side, size in zip(shape[2:], kernel, strict=True)]
        value = _appended(net, "AveragePool", value, {"kernel_shape": kernel, "strides": kernel}, (1, shape[1], *left))
        value = _appended(net, "Flatten", value, {"axis": 1}, (1, shape[1] * left[0] * left[1]))
    net.graph.outputs[0] = value
    return net


def _width(value: ir.Value) -> bool:
    try:
        shape = static_shape(value)
    except KakuriError:
        return False
    return len(shape) in (2, 4) and shape[0] == 1


def _appended(
    net: ir.Model, operator: str, value: ir.Value, attributes: dict[str, Any], shape: Sequence[int]
) -> ir.Value:
    name = fresh_name(value_names(net.graph), f"tap.{operator}")
    made = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    net.graph.append(ir.node(operator, [value], attributes, outputs=[made], name=name))
    return made


def _ending_at(net: ir.Model, value: ir.Value) -> ir.Model:
    net.graph.outputs.clear()
    net.graph.outputs.append(value)
    net = net.clone()
    remove_unused(net)
    return net


def with_head(trunk: ir.Model, head: Head) -> ir.Model:
    """trunk and head as one model."""
    net = trunk.clone()
    source = net.graph.outputs[0]
    weight, bias = (
        _constant(net, f"personal.{name}", array) for name, array in (("weight", head.weight), ("bias", head.bias))
    )
    scores = ir.Value(name="scores", shape=ir.Shape([1, len(head.weight)]), type=ir.TensorType(ir.DataType.FLOAT))
    net.graph.append(ir.node("Gemm", [source, weight, bias], {"transB": 1}, outputs=[scores], name="personal.head"))
    net.graph.outputs.clear()
    net.graph.outputs.append(scores)
    return net


def with_weights(trunk: ir.Model, weights: Mapping[str, Float32]) -> ir.Model:
    """A copy of ``trunk`` whose named initializers are replaced. Raises KK-P05 for a name or shape it does not have."""
    net = trunk.clone()
    for name, array in weights.items():
        value = net.graph.initializers.get(name)
        old = constant(value)
        if value is None or old is None or old.shape != array.shape:
            raise KakuriError("KK-P05", "the trunk has no such weight", where=name[:80], got=array.shape)
        value.const_value = ir.Tensor(np.ascontiguousarray(array, np.float32), name=name)
    return net


def changed_trunk(onnx_bytes: bytes, weights: Mapping[str, Float32]) -> bytes:
    """``with_weights`` on serialized models."""
    return to_bytes(with_weights(from_bytes(onnx_bytes), weights))


def _constant(net: ir.Model, name: str, array: Float32) -> ir.Value:
    tensor = ir.Tensor(np.ascontiguousarray(array, np.float32), name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    net.graph.register_initializer(value)
    return value
