"""Kakuri's operators in standard ONNX.

Requires: static shapes.
Ensures: no node of domain ``kakuri``: Polynomial is a Horner scheme in the value's own type, SumPool an AveragePool
    times its window size. The last node keeps the name and output of the node it replaces.
Does not guarantee: float64 coefficients in a float32 network; they are rounded to the value's type.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from kakuri.model.custom_ops import coefficients_of, is_polynomial, is_sum_pool
from kakuri.model.graph import CUSTOM_DOMAIN, Editor, ints, remove_unused, required_input, static_shape


def expand_polynomial(net: ir.Model) -> ir.Model:
    """A copy of ``net`` in standard operators only."""
    net = net.clone()
    edit = Editor(net)
    for node in list(net.graph):
        if is_polynomial(node):
            _Horner(edit, node).expand()
        elif is_sum_pool(node):
            _expand_sum_pool(edit, node)
    net.graph.opset_imports.pop(CUSTOM_DOMAIN, None)
    remove_unused(net)
    return net


class _Horner:
    """(((c[d] x) + c[d-1]) x + ...) + c[0], without steps that multiply by 1 or add 0."""

    def __init__(self, edit: Editor, node: ir.Node) -> None:
        self.edit, self.node = edit, node
        self.x = required_input(node)
        self.shape, self.dtype = static_shape(self.x), self.x.dtype or ir.DataType.FLOAT

    def expand(self) -> None:
        *lower, leading = coefficients_of(self.node)
        value = self.x if leading == 1 else self._scaled(float(leading))
        for power, coefficient in enumerate(reversed(lower)):
            if power:
                value = self._step("Mul", value, self.x)
            if coefficient != 0:
                value = self._step("Add", value, self._constant(float(coefficient)))
        if value is self.x:
            value = self._step("Identity", value)
        self.edit.substitute(self.node, value)

    def _scaled(self, leading: float) -> ir.Value:
        return self._step("Neg", self.x) if leading == -1 else self._step("Mul", self.x, self._constant(leading))

    def _constant(self, number: float) -> ir.Value:
        return self.edit.constant(f"{self.node.name}.coefficient", np.asarray(number, dtype=self.dtype.numpy()))

    def _step(self, op_type: str, *inputs: ir.Value) -> ir.Value:
        name = f"{self.node.name}.{op_type.lower()}"
        return self.edit.node(self.node, op_type, inputs, name=name, shape=self.shape, dtype=self.dtype)


def _expand_sum_pool(edit: Editor, node: ir.Node) -> None:
    source, output = required_input(node), node.outputs[0]
    kernel = ints(node, "kernel_shape")
    shape, dtype = static_shape(output), source.dtype or ir.DataType.FLOAT
    window = {name: list(ints(node, name)) for name in ("kernel_shape", "strides", "pads") if name in node.attributes}
    mean = edit.node(
        node,
        "AveragePool",
        [source],
        {**window, "count_include_pad": 1},
        name=f"{node.name}.mean",
        shape=shape,
        dtype=dtype,
    )
    size = edit.constant(f"{node.name}.window", np.asarray(math.prod(kernel), dtype=dtype.numpy()))
    edit.substitute(node, edit.node(node, "Mul", [mean, size], name=f"{node.name}.sum", shape=shape, dtype=dtype))
