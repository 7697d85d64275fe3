"""Leading coefficients and pooling divisors folded into neighbouring weights, which saves levels.

Requires: static shapes; ``fold_batchnorm`` and ``normalize_linear`` make more of the network foldable.
Ensures:
- every Polynomial a x^d + ... whose input is the exclusive result of a Conv or Gemm with constant weights and bias has
  leading coefficient exactly +1 or -1: that layer is scaled by |a|^(1/d) and c_i becomes c_i / |a|^(i/d);
- every AveragePool without padding, or counting it, whose result reaches only Convs and Gemms with constant weights,
  through changes of shape and further pools, is a ``kakuri.SumPool``, and 1 / (window size) stands in those weights,
  never in their biases.
Where this does not fold, nodes stay as they are. Initializers that others share are copied first.
Does not guarantee: bit-equal float results.
Source: S4, section 4.3 ("coefficient folding").
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from kakuri.model.custom_ops import coefficients_attribute, coefficients_of, is_polynomial, is_sum_pool
from kakuri.model.graph import (
    CUSTOM_DOMAIN,
    SUM_POOL,
    Editor,
    constant,
    input_of,
    integer,
    ints,
    is_exclusive,
    is_op,
    real,
    remove_unused,
    required_input,
    static_shape,
    text,
)


def fold_coefficients(net: ir.Model) -> ir.Model:
    """A copy of ``net`` with activation and pooling coefficients folded as the module head states."""
    net = net.clone()
    edit = Editor(net)
    for node in list(net.graph):
        if is_polynomial(node):
            _make_monic(edit, node)
    for node in list(net.graph):
        if _is_foldable_pool(node):
            _make_sum_pool(edit, node)
    remove_unused(net)
    if any(node.domain == CUSTOM_DOMAIN for node in net.graph):
        net.graph.opset_imports[CUSTOM_DOMAIN] = 1
    return net


def _make_monic(edit: Editor, node: ir.Node) -> None:
    source = required_input(node)
    layer = source.producer()
    coefficients = coefficients_of(node)
    leading, degree = float(coefficients[-1]), coefficients.size - 1
    if layer is None or abs(leading) == 1.0 or not is_exclusive(source) or not _is_scalable(layer):
        return
    scale = abs(leading) ** (1.0 / degree)
    scaled = coefficients / scale ** np.arange(degree + 1)
    scaled[-1] = math.copysign(1.0, leading)
    if not np.isfinite(scaled).all():
        return
    for index in (1, 2):
        if input_of(layer, index) is not None:
            edit.scale_constant(layer, index, scale)
    node.attributes.add(coefficients_attribute(scaled))


def _is_scalable(layer: ir.Node) -> bool:
    """Whether ``layer`` is linear with constant weights and, if it has one, a constant bias."""
    bias_is_known = input_of(layer, 2) is None or constant(input_of(layer, 2)) is not None
    return is_op(layer, "Conv", "Gemm") and constant(input_of(layer, 1)) is not None and bias_is_known


def _is_foldable_pool(node: ir.Node) -> bool:
    if not is_op(node, "AveragePool") or text(node, "auto_pad", "NOTSET") != "NOTSET":
        return False
    pads_count = integer(node, "count_include_pad", 0) == 1 or not any(ints(node, "pads"))
    return pads_count and integer(node, "ceil_mode", 0) == 0 and all(step == 1 for step in ints(node, "dilations"))


def _make_sum_pool(edit: Editor, node: ir.Node) -> None:
    layers = _reached_layers(node.outputs[0])
    if not layers:
        return
    kernel = ints(node, "kernel_shape")
    axes = len(kernel)
    for layer in layers:
        edit.scale_constant(layer, 1, 1.0 / math.prod(kernel))
    output = node.outputs[0]
    value = edit.node(
        node,
        SUM_POOL,
        [required_input(node)],
        {
            "kernel_shape": list(kernel),
            "strides": list(ints(node, "strides", (1,) * axes)),
            "pads": list(ints(node, "pads", (0,) * (2 * axes))),
        },
        name=f"{node.name}.sum",
        shape=static_shape(output),
        dtype=output.dtype,
        domain=CUSTOM_DOMAIN,
    )
    edit.substitute(node, value)


def _reached_layers(value: ir.Value) -> list[ir.Node] | None:
    """The Convs and Gemms that ``value`` reaches through linear, bias-free nodes; None if it reaches anything else."""
    layers: list[ir.Node] = []
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if current.is_graph_output() or not current.uses():
            return None
        for usage in current.uses():
            node = usage.node
            if usage.idx != 0:
                return None
            if is_op(node, "Conv", "Gemm"):
                if constant(input_of(node, 1)) is None or (is_op(node, "Gemm") and real(node, "alpha", 1.0) != 1.0):
                    return None
                layers.append(node)
            elif is_op(node, "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "AveragePool") or is_sum_pool(
                node
            ):
                waiting.append(node.outputs[0])
            else:
                return None
    return layers
