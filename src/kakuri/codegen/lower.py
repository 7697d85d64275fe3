"""From the prepared ONNX graph to a program of operations on views.

Purpose: one walk over the nodes; each operator's file in ``kernels`` says which operations it becomes.
Requires: a graph from ``prepare`` in which ``check`` found nothing.
Guarantees: the same graph gives the same program.
"""

from __future__ import annotations

import onnx_ir as ir

from kakuri.codegen.ahead import halos, placements
from kakuri.codegen.copy import Copy
from kakuri.codegen.fuse import fuse
from kakuri.codegen.kernels import KERNELS
from kakuri.codegen.lowering import Lowering, element_of
from kakuri.codegen.program import Program
from kakuri.codegen.views import Kind, View, allocate
from kakuri.model.graph import static_shape


def lower(net: ir.Model) -> Program:
    """The program of a prepared model."""
    walk = Lowering(net)
    inputs = []
    for index, value in enumerate(net.graph.inputs):
        shape = static_shape(value)
        view = allocate(Kind.INPUT, element_of(value), shape, range(len(shape)))
        view.storage.index = index
        walk.env[value] = view
        inputs.append(view)
    walk.halos, walk.placements = halos(net), placements(net)
    for node in net.graph:
        if node not in walk.absorbed:
            KERNELS[node.domain, node.op_type].lower(walk, node)
    outputs = [_output(walk, index, value) for index, value in enumerate(net.graph.outputs)]
    program = Program(
        name=str(net.graph.name or "network"),
        inputs=inputs,
        input_names=[value.name or "" for value in net.graph.inputs],
        outputs=outputs,
        output_names=[value.name or "" for value in net.graph.outputs],
        weights=walk.weights,
        operations=fuse(walk.operations),
        values={value.name or "": view for value, view in walk.env.items()},
    )
    program.place()
    return program


def _output(walk: Lowering, index: int, value: ir.Value) -> View:
    view = walk.env[value]
    if view.storage.kind is Kind.OUTPUT and view.storage.index == index and view.is_dense():
        return view
    shape = static_shape(value)
    target = allocate(Kind.OUTPUT, view.element, shape, range(len(shape)))
    target.storage.index = index
    walk.emit(Copy(value.name or "output", view, target))
    return target
