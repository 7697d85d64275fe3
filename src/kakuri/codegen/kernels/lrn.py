"""Local response normalisation across channels: ``runtime/lrn.h``, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.literals import float_literal
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import integer, real, required_input, static_shape
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class Lrn(Operation):
    """source, target: channels last, different memory. scale: alpha over size."""

    name: str
    source: View
    target: View
    size: int
    bias: float
    scale: float
    beta: float

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("maths.h", "lrn.h")

    def body(self) -> str:
        pixels = [View(v.storage, v.offset, (v.shape[0], *v.shape[2:]), (v.strides[0], *v.strides[2:])) for v in
                  (self.target, self.source)]  # fmt: skip
        axes: list[Axis] = axes_of(pixels)
        head = [f"float *y = {pointer(self.target)};", f"const float *x = {pointer(self.source)};"]
        numbers = ", ".join(float_literal(float(np.float32(v))) for v in (self.bias, self.scale, self.beta))
        before, after = (self.size - 1) // 2, self.size // 2
        return nest(
            head, axes, ["y", "x"], [f"kk_lrn_pixel(x, y, {self.source.shape[1]}, {before}, {after}, {numbers});"]
        )


def _lower(walk: Lowering, node: ir.Node) -> None:
    source = walk.channels_last(walk.view(node))
    target = walk.new(node.outputs[0], last_order(len(source.shape)))
    size = integer(node, "size", 1)
    numbers = (real(node, "bias", 1.0), real(node, "alpha", 1e-4) / size, real(node, "beta", 0.75))
    walk.emit(Lrn(node.name or "lrn", source, target, size, *numbers))


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    if len(static_shape(required_input(node))) not in (3, 4):
        yield problem(node, "KK-G13", Severity.NOT_YET, "normalises other than maps", "one or two axes work")


KERNELS = (Kernel("LRN", _lower, _check),)
