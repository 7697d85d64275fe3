"""Stored integers that a float operator reads become stored floats: the weights of dynamic-range networks.

Requires: nothing.
Ensures: no DequantizeLinear of an initializer, except those that only quantised regions read.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import Array, Editor, constant, input_of, integer, is_op, remove_unused
from kakuri.model.quantized import needed


def fold_weights(net: ir.Model) -> ir.Model:
    """A copy of ``net`` as the module head states."""
    net = net.clone()
    edit = Editor(net)
    steps, found = needed(net, net.graph.outputs)
    for node in steps:
        if node in found:
            continue
        for index, value in enumerate(node.inputs):
            producer = None if value is None else value.producer()
            if producer is not None and is_op(producer, "DequantizeLinear"):
                real = _real(producer)
                if real is not None:
                    node.replace_input_with(index, edit.constant(f"{producer.name}.real", real))
    remove_unused(net)
    return net


def _real(node: ir.Node) -> Array | None:
    stored, scale, points = (constant(input_of(node, index)) for index in range(3))
    if stored is None or scale is None:
        return None
    shape = [1] * stored.ndim
    if scale.size > 1:
        shape[integer(node, "axis", 1)] = -1
    zero = np.zeros(1) if points is None else points.astype(np.float32).reshape(-1)
    lowered = stored.astype(np.float32) - (zero.reshape(shape) if zero.size > 1 else zero[0])
    return np.asarray(lowered * scale.reshape(shape if scale.size > 1 else [1] * stored.ndim), np.float32)
