"""Features of a sample and of its mirror image, averaged.

Purpose: ``mirrored(trunk)``: left and right tell nobody apart, so their difference is noise that half of a sum loses.
Guarantees: the result is one more trunk, of standard operators: what runs, exports or compiles the one does the other.
A sample and its mirror image have equal features up to float rounding.
Does not guarantee: cheapness; every answer costs two passes. Sense, where left and right mean something (writing,
spectrograms).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import Editor, static_shape


def mirrored(trunk: ir.Model) -> ir.Model:
    """trunk: (1, C, H, W) to features (1, d). A copy that gives (trunk(x) + trunk(x mirrored along W)) / 2."""
    net = trunk.clone()
    edit, nodes = Editor(net), list(net.graph)
    source, straight = net.graph.inputs[0], net.graph.outputs[0]

    def like(value: ir.Value, name: str) -> ir.Value:
        return ir.Value(name=edit.reserve(name), shape=value.shape, type=value.type)

    def added(operator: str, inputs: list[ir.Value], output: ir.Value) -> ir.Value:
        net.graph.append(ir.node(operator, inputs, outputs=[output], name=output.name))
        return output

    backwards = {"starts": -1, "ends": np.iinfo(np.int64).min, "axes": 3, "steps": -1}
    slices = [edit.constant(f"mirror.{name}", np.array([at], np.int64)) for name, at in backwards.items()]
    images = {source: added("Slice", [source, *slices], like(source, "mirror.image"))}
    for node in nodes:
        inputs = [None if value is None else images.get(value, value) for value in node.inputs]
        images |= {value: like(value, f"mirror.{value.name}") for value in node.outputs}
        outputs, name = [images[value] for value in node.outputs], f"mirror.{node.name}"
        copy = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), outputs=outputs, name=name)
        net.graph.append(copy)
    total = added("Add", [straight, images[straight]], like(straight, "mirror.sum"))
    half = edit.constant("mirror.half", np.full(static_shape(straight), 0.5, np.float32))
    net.graph.outputs[0] = added("Mul", [total, half], like(straight, "mirror.mean"))
    return net
