"""Softmax and its logarithm along one axis: ``runtime/softmax.h``, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import integer, static_shape


@dataclass(frozen=True)
class Softmax(Operation):
    """source and target: of one shape, the last axis consecutive in both."""

    name: str
    source: View
    target: View
    logarithm: bool

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("maths.h", "softmax.h")

    def body(self) -> str:
        rows = [View(v.storage, v.offset, v.shape[:-1], v.strides[:-1]) for v in (self.target, self.source)]
        axes: list[Axis] = axes_of(rows)
        head = [f"float *y = {pointer(self.target)};", f"const float *x = {pointer(self.source)};"]
        call = f"kk_softmax(x, y, {self.source.shape[-1]}, {int(self.logarithm)});"
        return nest(head, axes, ["y", "x"], [call])


def _lower(walk: Lowering, node: ir.Node) -> None:
    view, value = walk.view(node), node.outputs[0]
    rank = len(view.shape)
    axis = integer(node, "axis", -1) % rank
    order = (*(i for i in range(rank) if i != axis), axis)
    source = walk.arranged(view, order) if view.strides[axis] != 1 and view.shape[axis] != 1 else view
    target = walk.new(value, order)
    if target.strides[axis] != 1 and target.shape[axis] != 1:
        target = walk.scratch(static_shape(value), order)
        walk.alias(value, target)
    walk.emit(Softmax(node.name or "softmax", source.transpose(order), target.transpose(order), node.op_type[0] == "L"))


KERNELS = (Kernel("Softmax", _lower), Kernel("LogSoftmax", _lower))
