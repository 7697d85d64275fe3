"""Explicit padding with zeros becomes padding of the convolution that reads it.

Requires: static shapes; convolutions that state their pads.
Ensures: no Pad with zeros (or with the zero point, before DequantizeLinear), on rows and columns only, feeds exactly
one Conv.
"""

from __future__ import annotations

import onnx_ir as ir

from kakuri.codegen.kernels.pad import amounts
from kakuri.model.graph import Editor, constant, input_of, ints, is_exclusive, is_op, required_input, static_shape, text


def fold_pads(net: ir.Model) -> ir.Model:
    """A copy of ``net`` as the module head states."""
    net = net.clone()
    edit = Editor(net)
    for node in list(net.graph):
        source = input_of(node, 0)
        pad, zero = source.producer() if source is not None else None, 0
        if is_op(pad, "DequantizeLinear") and pad is not None and is_exclusive(pad.outputs[0]):
            point = constant(input_of(pad, 2))
            zero = 0 if point is None else int(point.reshape(-1)[0])
            pad = required_input(pad).producer()
        if is_op(node, "Conv") and is_op(pad, "Pad") and pad is not None and _is_frame_of(pad, zero):
            _fold(edit, pad, node)
    return net


def _is_frame_of(pad: ir.Node, zero: int) -> bool:
    value = constant(input_of(pad, 2))
    if text(pad, "mode", "constant") != "constant" or not is_exclusive(pad.outputs[0]):
        return False
    if input_of(pad, 2) is not None and value is None:
        return False
    if (0 if value is None else value.reshape(-1)[0]) != zero:
        return False
    frame = amounts(pad)
    outside = all(pair == (0, 0) for pair in frame[:2])
    return outside and len(frame) in (3, 4) and min(min(pair) for pair in frame) >= 0


def _fold(edit: Editor, pad: ir.Node, node: ir.Node) -> None:
    frame = amounts(pad)[2:]
    axes = len(static_shape(required_input(pad))) - 2
    old = ints(node, "pads", (0,) * (2 * axes))
    new = [old[i] + frame[i][0] for i in range(axes)] + [old[axes + i] + frame[i][1] for i in range(axes)]
    node.attributes["pads"] = ir.AttrInt64s("pads", new)
    edit.bypass(pad)
