"""Elementwise arithmetic: one expression over broadcast operands, a vector at a time.

The expression is a list of C statements over ``v0``, ``v1`` ... (operands, vectors) that ends in one for ``r``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.literals import float_literal
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering, clamp
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View, memory_order
from kakuri.model.graph import is_exclusive, static_shape


@dataclass(frozen=True)
class Map(Operation):
    """operands: broadcast to the target's shape. expression: see the module head."""

    name: str
    operands: tuple[View, ...]
    target: View
    expression: tuple[str, ...]

    @property
    def reads(self) -> tuple[View, ...]:
        return self.operands

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("maths.h",)

    def body(self) -> str:
        views = [self.target, *self.operands]
        axes = axes_of(views)
        inner = axes[-1] if axes else Axis(1, (1,) * len(views))
        names = ["q", *(f"p{i}" for i in range(len(self.operands)))]
        lines = [f"float *q = {pointer(self.target)};"]
        lines += [f"const float *p{i} = {pointer(view)};" for i, view in enumerate(self.operands)]
        return nest(lines, axes[:-1], names, self._loop(inner))

    def _loop(self, inner: Axis) -> list[str]:
        whole = [self._load(i, stride, "") for i, stride in enumerate(inner.strides[1:])]
        rest = [self._load(i, stride, "left") for i, stride in enumerate(inner.strides[1:])]
        work = [f"        {line}" for line in self.expression]
        return [
            f"for (int i = 0; i < {inner.size}; i += KK_VL) {{",
            f"    int left = {inner.size} - i;",
            "    vf r;",
            "    if (left >= KK_VL) {",
            *(f"        {line}" for line in whole),
            *work,
            f"        {_store(inner.strides[0], 'KK_VL', whole=True)}",
            "    } else {",
            *(f"        {line}" for line in rest),
            *work,
            f"        {_store(inner.strides[0], 'left', whole=False)}",
            "    }",
            "}",
        ]

    @staticmethod
    def _load(index: int, stride: int, count: str) -> str:
        if stride == 0:
            return f"vf v{index} = vdup(*p{index});"
        if stride == 1:
            return f"vf v{index} = vld_n(p{index} + i, left);" if count else f"vf v{index} = vld(p{index} + i);"
        return f"vf v{index} = vld_step(p{index} + (ptrdiff_t)i * {stride}, {stride}, {count or 'KK_VL'});"


def _store(stride: int, count: str, *, whole: bool) -> str:
    if stride == 1:
        return "vst(q + i, r);" if whole else "vst_n(q + i, r, left);"
    return f"vst_step(q + (ptrdiff_t)i * {stride}, {stride}, r, {count});"


def lower_map(walk: Lowering, node: ir.Node, operands: Sequence[View], expression: Sequence[str]) -> None:
    """One Map for ``node``'s first output, together with the clamp after it; in place of an operand where possible."""
    value = node.outputs[0]
    lines = list(expression)
    if is_exclusive(value) and value not in walk.placements:
        follower = value.consumers()[0]
        limits = clamp(follower)
        if limits is not None and follower.domain == "":
            walk.absorbed.add(follower)
            value = follower.outputs[0]
            lines.append(f"r = vclamp(r, {float_literal(limits[0])}, {float_literal(limits[1])});")
    shape = static_shape(value)
    wide = [view for view in operands if view.shape == shape]
    target = None
    for index in range(len(node.inputs)):
        if target is None and node.inputs[index] is not None and len(node.inputs) == len(operands):
            target = walk.reuse(node, index, value)
    if target is None:
        computed = [view for view in wide if view.storage.kind.value != "weights"] or wide
        order = memory_order(computed[0]) if computed else None
        target = walk.new(value, order)
    spread = tuple(view.broadcast(shape) for view in operands)
    walk.emit(Map(node.name or node.op_type, spread, target, tuple(lines)))
