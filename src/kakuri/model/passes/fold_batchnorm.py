"""Batch normalisation folded into the layer before it.

Requires: static shapes; BatchNormalization in inference form with constant parameters (``load`` ensures the form).
Ensures: no BatchNormalization reads the exclusive result of a Conv or Gemm with constant weights; the layer before it
    always has a bias then. Others are left as they are. Arithmetic in float64, results in the weights' own type.
Source: S4, section 4.3; y = gamma (x - mean) / sqrt(var + eps) + beta.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.model.graph import (
    Editor,
    constant,
    input_of,
    integer,
    is_exclusive,
    is_op,
    real,
    remove_unused,
    required_input,
)

Float64 = NDArray[np.float64]


def fold_batchnorm(net: ir.Model) -> ir.Model:
    """A copy of ``net`` with every BatchNormalization after an exclusive Conv or Gemm folded into it."""
    net = net.clone()
    edit = Editor(net)
    for node in list(net.graph):
        if is_op(node, "BatchNormalization"):
            _fold(edit, node)
    remove_unused(net)
    return net


def _fold(edit: Editor, node: ir.Node) -> None:
    source = required_input(node)
    layer = source.producer()
    parameters = [constant(input_of(node, index)) for index in range(1, 5)]
    if layer is None or not is_exclusive(source) or any(array is None for array in parameters):
        return
    gamma, beta, mean, variance = (np.asarray(array, dtype=np.float64) for array in parameters)
    spread = variance + real(node, "epsilon", 1e-5)
    if not (spread > 0).all():
        return
    scale = gamma / np.sqrt(spread)
    if not scale_outputs(edit, layer, scale, beta - scale * mean):
        return
    layer.outputs[0].name, node.outputs[0].name = node.outputs[0].name, layer.outputs[0].name
    edit.substitute(node, layer.outputs[0], keep_name=False)


def scale_outputs(edit: Editor, layer: ir.Node, scale: Float64, shift: Float64) -> bool:
    """Make ``layer`` compute ``scale * old + shift`` per output channel, both float64 (channels,).

    False, with nothing changed, unless it is a Conv or Gemm with constant weights and bias.
    """
    weight, bias = constant(input_of(layer, 1)), constant(input_of(layer, 2))
    if weight is None or (bias is None and input_of(layer, 2) is not None):
        return False
    if is_op(layer, "Conv"):
        channel_axis = 0
    elif is_op(layer, "Gemm") and real(layer, "alpha", 1.0) == 1.0 == real(layer, "beta", 1.0):
        channel_axis = 0 if integer(layer, "transB", 0) else 1
    else:
        return False
    channels = weight.shape[channel_axis]
    if scale.shape != (channels,) or shift.shape != (channels,):
        return False
    if bias is not None and bias.size not in (1, channels):
        return False
    spread = [channels if axis == channel_axis else 1 for axis in range(weight.ndim)]
    scaled = weight.astype(np.float64) * scale.reshape(spread)
    old_bias = np.zeros(1) if bias is None else bias.astype(np.float64).reshape(-1)
    new_bias = (np.broadcast_to(old_bias, (channels,)) * scale + shift).astype(weight.dtype)
    edit.replace_constant(layer, 1, scaled.astype(weight.dtype))
    if bias is not None:
        edit.replace_constant(layer, 2, new_bias)
    else:
        layer.resize_inputs(3)
        layer.replace_input_with(2, edit.constant(f"{layer.name}.bias", new_bias))
    return True
