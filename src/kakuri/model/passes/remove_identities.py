"""Removal of nodes that change nothing at inference time.

Requires: the normal form's single graph; static shapes.
Ensures: no Identity or Dropout, and no Cast to the type it already has, except one that joins a graph input (or an
    output used twice) to a graph output, where the interface needs it.
"""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.graph import Editor, is_op, remove_unused, required_input


def remove_identities(net: ir.Model) -> ir.Model:
    """A copy of ``net`` without nodes that pass their input through."""
    net = net.clone()
    edit = Editor(net)
    for node in list(net.graph):
        if _passes_through(node):
            edit.bypass(node)
    remove_unused(net)
    return net


def _passes_through(node: ir.Node) -> bool:
    if is_op(node, "Dropout"):
        mask_is_used = len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output())
        return not mask_is_used and not _trains(node)
    if is_op(node, "Cast"):
        return required_input(node).dtype == node.outputs[0].dtype
    return is_op(node, "Identity")


def _trains(node: ir.Node) -> bool:
    """Whether a Dropout is fixed to, or may be switched to, training mode."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    value = node.inputs[2]
    if not value.is_initializer() or value.const_value is None:
        return True
    return bool(value.const_value.numpy().any())
