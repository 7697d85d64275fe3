"""From the prepared ONNX graph to a program of operations on views.

Purpose: one walk over the nodes; each operator's file in ``kernels`` says which operations it becomes; the regions of
a quantised graph become integer operations as ``kernels.integer`` says.
Requires: a graph from ``prepare`` in which ``check`` found nothing.
Guarantees: the same graph gives the same program.
"""

from __future__ import annotations

import onnx_ir as ir

from kakuri.codegen.ahead import halos, placements
from kakuri.codegen.copy import Copy
from kakuri.codegen.flip import Flip
from kakuri.codegen.fuse import fuse
from kakuri.codegen.kernels import KERNELS
from kakuri.codegen.kernels.integer import INTEGER_KERNELS
from kakuri.codegen.kernels.integer.kernel import point
from kakuri.codegen.lowering import Lowering, element_of, interface_element
from kakuri.codegen.program import Program
from kakuri.codegen.views import Kind, View, allocate
from kakuri.model.graph import is_op, static_shape
from kakuri.model.quantized import needed


def lower(net: ir.Model, *, pairs: bool = True) -> Program:
    """The program of a prepared model. pairs: depthwise and pointwise layers may become one operation."""
    walk = Lowering(net)
    inputs = []
    for index, value in enumerate(net.graph.inputs):
        shape = static_shape(value)
        view = allocate(Kind.INPUT, interface_element(value), shape, range(len(shape)))
        view.storage.index = index
        walk.env[value] = _lifted(walk, value, view)
        inputs.append(view)
    steps, found = needed(net, net.graph.outputs)
    walk.halos, walk.placements = halos(net, found.values()), placements(net)
    walk.fills = {
        region.operand(0).value: point(region.operand(0)) for region in found.values() if is_op(region.core, "Conv")
    }
    for node in steps:
        if node in found:
            region = found[node]
            INTEGER_KERNELS["" if region.core is None else region.core.op_type].lower(walk, region)
        elif node not in walk.absorbed:
            KERNELS[node.domain, node.op_type].lower(walk, node)
    outputs = [_output(walk, index, value) for index, value in enumerate(net.graph.outputs)]
    program = Program(
        name=str(net.graph.name or "network"),
        inputs=inputs,
        input_names=[value.name or "" for value in net.graph.inputs],
        outputs=outputs,
        output_names=[value.name or "" for value in net.graph.outputs],
        weights=walk.weights,
        operations=fuse(walk.operations) if pairs else walk.operations,
        values={value.name or "": view for value, view in walk.env.items()},
    )
    program.place()
    return program


def _lifted(walk: Lowering, value: ir.Value, view: View) -> View:
    """The caller's int8 as it lies in the arena."""
    if view.element == element_of(value):
        return view
    lifted = walk.scratch(view.shape, range(len(view.shape)), element_of(value))
    walk.emit(Flip("input", view, lifted))
    return lifted


def _output(walk: Lowering, index: int, value: ir.Value) -> View:
    view = walk.env[value]
    if view.storage.kind is Kind.OUTPUT and view.storage.index == index and view.is_dense():
        return view
    shape = static_shape(value)
    target = allocate(Kind.OUTPUT, interface_element(value), shape, range(len(shape)))
    target.storage.index = index
    name = value.name or "output"
    walk.emit(Copy(name, view, target) if view.element == target.element else Flip(name, view, target))
    return target
