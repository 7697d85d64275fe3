"""Removal of nodes that change nothing at inference time.

Requires: the normal form's single graph; static shapes.
Ensures: no Identity or Dropout, no Cast to the type it already has, no Mul or Div by 1, no Add or Sub of 0, no Pow 1,
    except one that joins a graph input (or an output used twice) to a graph output, where the interface needs it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import Editor, constant, is_op, remove_unused, required_input, static_shape


def remove_identities(net: ir.Model) -> ir.Model:
    """A copy of ``net`` without nodes that pass their input through."""
    net = net.clone()
    edit = Editor(net)
    for node in list(net.graph):
        if is_op(node, "Add", "Mul") and _is_neutral(node, 0):
            node.replace_input_with(0, node.inputs[1])
            edit.bypass(node)
        elif _passes_through(node):
            edit.bypass(node)
    remove_unused(net)
    return net


def _passes_through(node: ir.Node) -> bool:
    if is_op(node, "Dropout"):
        mask_is_used = len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output())
        return not mask_is_used and not _trains(node)
    if is_op(node, "Cast"):
        return required_input(node).dtype == node.outputs[0].dtype
    return is_op(node, "Identity") or (len(node.inputs) == 2 and _is_neutral(node, 1))


def _is_neutral(node: ir.Node, index: int) -> bool:
    """Whether input ``index`` of arithmetic on two values is a constant that leaves the other as it is."""
    neutral = 0 if is_op(node, "Add", "Sub") else 1 if is_op(node, "Mul", "Div", "Pow") else None
    array = constant(node.inputs[index])
    if neutral is None or array is None or array.size == 0 or np.any(array != neutral):
        return False
    return static_shape(required_input(node, 1 - index)) == static_shape(node.outputs[0])


def _trains(node: ir.Node) -> bool:
    """Whether a Dropout is fixed to, or may be switched to, training mode."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    value = node.inputs[2]
    if not value.is_initializer() or value.const_value is None:
        return True
    return bool(value.const_value.numpy().any())
