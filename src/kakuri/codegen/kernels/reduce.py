"""Sums, means and extremes over axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.literals import float_literal
from kakuri.codegen.loops import Axis, nest
from kakuri.codegen.lowering import INFINITY, Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View, memory_order
from kakuri.model.graph import constant, input_of, integer, static_shape

#: start, step over the accumulator r and the element v0, finish with the number of elements as n.
_KINDS: dict[str, tuple[float, str, str]] = {
    "ReduceSum": (0.0, "r + v0", "r"),
    "ReduceMean": (0.0, "r + v0", "r * n"),
    "ReduceMax": (-INFINITY, "vmax(r, v0)", "r"),
    "ReduceMin": (INFINITY, "vmin(r, v0)", "r"),
    "ReduceProd": (1.0, "r * v0", "r"),
    "ReduceL1": (0.0, "r + vabs(v0)", "r"),
    "ReduceL2": (0.0, "r + v0 * v0", "kk_sqrt(r)"),
    "ReduceSumSquare": (0.0, "r + v0 * v0", "r"),
    "ReduceLogSumExp": (0.0, "r + kk_exp(v0)", "kk_log(r)"),
}


@dataclass(frozen=True)
class Reduce(Operation):
    """source: all axes. target: the same axes, the reduced ones of size 1. kind: a key of ``_KINDS``."""

    name: str
    source: View
    target: View
    kind: str

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("maths.h",)

    def body(self) -> str:
        kept, gone = self._axes()
        start, step, finish = _KINDS[self.kind]
        count = int(np.prod([axis.size for axis in gone])) if gone else 1
        lanes = kept.pop() if kept and kept[-1].strides[0] == 1 and kept[-1].strides[1] == 1 else None
        load, store = "v0 = vdup(*t)", "vst_n(q, r, 1)"
        if lanes is not None:
            load, store = (
                "v0 = left < KK_VL ? vld_n(t, left) : vld(t)",
                "left < KK_VL ? vst_n(q + j, r, left) : vst(q + j, r)",
            )
        inner = nest(
            ["const float *t = p + j;" if lanes else "const float *t = p;"],
            gone,
            ["t"],
            [f"vf {load};", f"r = {step};"],
        )
        work = [
            f"vf r = vdup({float_literal(start)});",
            *inner.split("\n"),
            f"const float n = {float_literal(float(np.float32(1 / count)))};",
            "(void)n;",
            f"r = {finish};",
            f"{store};",
        ]
        if lanes is not None:
            head = f"for (int j = 0; j < {lanes.size}; j += KK_VL) {{"
            work = [head, f"    int left = {lanes.size} - j;", *("    " + line for line in work), "}"]
        else:
            work = ["{", *("    " + line for line in work), "}"]
        start_lines = [f"const float *p = {pointer(self.source)};", f"float *q = {pointer(self.target)};"]
        return nest(start_lines, kept, ["q", "p"], work)

    def _axes(self) -> tuple[list[Axis], list[Axis]]:
        """Kept axes with strides (target, source), in the target's order; reduced axes with the source's stride."""
        kept, gone = [], []
        for axis in memory_order(self.source):
            size = self.source.shape[axis]
            if size == 1:
                continue
            if self.target.shape[axis] == size:
                kept.append(Axis(size, (self.target.strides[axis], self.source.strides[axis])))
            else:
                gone.append(Axis(size, (self.source.strides[axis],)))
        return kept, gone


def _lower(walk: Lowering, node: ir.Node) -> None:
    view, value = walk.view(node), node.outputs[0]
    rank = len(view.shape)
    given = constant(input_of(node, 1))
    axes = set(range(rank)) if given is None or not given.size else {int(axis) % rank for axis in given.reshape(-1)}
    if given is None and integer(node, "noop_with_empty_axes", 0):
        walk.alias(value, view)
        return
    full = tuple(1 if axis in axes else size for axis, size in enumerate(view.shape))
    order = memory_order(view) if integer(node, "keepdims", 1) else tuple(range(len(static_shape(value))))
    target = walk.new(value, order)
    seen = target if integer(node, "keepdims", 1) else _with_ones(target, full, axes)
    walk.emit(Reduce(node.name or "reduce", view, seen, node.op_type))


def _with_ones(view: View, full: tuple[int, ...], axes: set[int]) -> View:
    strides = iter(view.strides)
    return View(
        view.storage, view.offset, full, tuple(0 if axis in axes else next(strides) for axis in range(len(full)))
    )


KERNELS = tuple(Kernel(name, _lower) for name in _KINDS)
