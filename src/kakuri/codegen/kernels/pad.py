"""Padding with a constant, by reflection or with the edge; pads before convolutions are folded into them beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from kakuri.codegen.copy import Copy
from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.literals import float_literal
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import F32, View, memory_order
from kakuri.model.graph import constant, input_of, static_shape, text
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class Fill(Operation):
    """Every element of ``target`` becomes ``value``."""

    name: str
    target: View
    value: float | int

    @property
    def reads(self) -> tuple[View, ...]:
        return ()

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    def body(self) -> str:
        axes = axes_of([self.target])
        inner = axes[-1] if axes else Axis(1, (1,))
        value = float_literal(self.value) if isinstance(self.value, float) else str(self.value)
        step = f"q[i * {inner.strides[0]}] = {value};"
        loop = [f"for (int i = 0; i < {inner.size}; i++)", f"    {step}"]
        return nest([f"{self.target.element.c} *q = {pointer(self.target)};"], axes[:-1], ["q"], loop)


def amounts(node: ir.Node) -> list[tuple[int, int]]:
    """(before, after) per axis."""
    rank = len(static_shape(node.outputs[0]))
    pads = [int(item) for item in np.asarray(constant(input_of(node, 1))).reshape(-1)]
    given = constant(input_of(node, 3))
    axes = range(rank) if given is None else [int(axis) % rank for axis in given.reshape(-1)]
    found = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        found[axis] = pads[position], pads[len(axes) + position]
    return found


def _lower(walk: Lowering, node: ir.Node) -> None:
    source = walk.view(node)
    pads = amounts(node)
    for axis, (before, after) in enumerate(pads):  # negative amounts cut
        cut_before, cut_after = max(0, -before), max(0, -after)
        source = source.slice(axis, cut_before, source.shape[axis] - cut_before - cut_after)
    pads = [(max(0, before), max(0, after)) for before, after in pads]
    target = walk.new(node.outputs[0], memory_order(source))
    name, mode = node.name or "pad", text(node, "mode", "constant")
    inside = target
    for axis, (before, _) in enumerate(pads):
        inside = inside.slice(axis, before, source.shape[axis])
    if mode == "constant":
        walk.emit(Fill(name, target, _filling(node, target)))
    walk.emit(Copy(name, source, inside))
    if mode != "constant":
        _mirror(walk, name, target, pads, edge=mode == "edge")


def _filling(node: ir.Node, target: View) -> float | int:
    value = constant(input_of(node, 2))
    number = 0 if value is None else value.reshape(-1)[0]
    if target.element is F32:
        return float(number)
    return int(number) + (128 if node.outputs[0].dtype == ir.DataType.INT8 else 0)


def _mirror(walk: Lowering, name: str, target: View, pads: list[tuple[int, int]], *, edge: bool) -> None:
    """Axis after axis: what is padded on the axes before is complete and is itself mirrored."""
    for axis, (before, after) in enumerate(pads):
        lines = target
        for later in range(axis + 1, len(pads)):
            lines = lines.slice(later, pads[later][0], target.shape[later] - sum(pads[later]))
        size = target.shape[axis]
        for index in [*range(before), *range(size - after, size)]:
            low, high = before, size - after - 1
            source = min(max(index, low), high) if edge else 2 * (low if index < low else high) - index
            walk.emit(Copy(name, lines.slice(axis, source, 1), lines.slice(axis, index, 1)))


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    mode = text(node, "mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        yield problem(node, "KK-G16", Severity.NOT_YET, f"pads in mode {mode}", "constant, reflect and edge work")
    if input_of(node, 2) is not None and constant(input_of(node, 2)) is None:
        yield problem(node, "KK-G10", Severity.NOT_YET, "pads with a computed value", "make it constant")
    shape = static_shape(node.outputs[0])
    if mode == "reflect" and any(
        max(before, after) > size - before - after - 1
        for (before, after), size in zip(amounts(node), shape, strict=True)
        if before > 0 or after > 0
    ):
        yield problem(node, "KK-G16", Severity.NOT_YET, "reflects more than there is", "pad less")


KERNELS = (Kernel("Pad", _lower, _check),)
