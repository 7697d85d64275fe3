"""Borders of a quantised network: floats become levels, levels become floats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.literals import float_literal
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View, memory_order
from kakuri.model.graph import constant, input_of, required_input
from kakuri.model.quantized.reading import source_of
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class Convert(Operation):
    """statement: C that makes the number ``y`` of the target's type from the element ``x`` of the source."""

    name: str
    source: View
    target: View
    statement: str

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    def body(self) -> str:
        axes = axes_of([self.target, self.source])
        inner = axes[-1] if axes else Axis(1, (1, 1))
        c, x = self.target.element.c, self.source.element.c
        head = [f"{c} *q = {pointer(self.target)};", f"const {x} *p = {pointer(self.source)};"]
        loop = [
            f"for (int i = 0; i < {inner.size}; i++) {{",
            f"    const {x} x = p[i * {inner.strides[1]}];",
            f"    {self.statement}",
            f"    q[i * {inner.strides[0]}] = ({c})y;",
            "}",
        ]
        return nest(head, axes[:-1], ["q", "p"], loop)


def _parameters(node: ir.Node) -> tuple[str, int]:
    scale, points = constant(input_of(node, 1)), constant(input_of(node, 2))
    assert scale is not None, "check refuses computed scales"
    return float_literal(float(np.float32(scale.reshape(-1)[0]))), 0 if points is None else int(points.reshape(-1)[0])


def _quantize(walk: Lowering, node: ir.Node) -> None:
    """Marked nodes round halves away from zero, others to even."""
    scale, zero = _parameters(node)
    value = node.outputs[0]
    lift = 128 if value.dtype == ir.DataType.INT8 else 0
    source = walk.view(node)
    target = walk.new(value, memory_order(source))
    steps = [f"float s = x / {scale};", f"s = s > -{_FAR} ? s < {_FAR} ? s : {_FAR} : -{_FAR};"]
    steps.append("int32_t y = (int32_t)s;")
    if source_of(node):
        steps.append("y += (s - y >= 0.5f) - (s - y <= -0.5f);")
    else:
        steps.append(
            "y += (s - y > 0.5f || (s - y == 0.5f && (y & 1))) - (s - y < -0.5f || (s - y == -0.5f && (y & 1)));"
        )
    steps.append(f"y += {zero + lift};")
    steps.append("y = y < 0 ? 0 : y > 255 ? 255 : y;")
    walk.emit(Convert(node.name or "quantize", source, target, " ".join(steps)))


def _dequantize(walk: Lowering, node: ir.Node) -> None:
    scale, zero = _parameters(node)
    lift = 128 if required_input(node).dtype == ir.DataType.INT8 else 0
    source = walk.view(node)
    target = walk.new(node.outputs[0], memory_order(source))
    walk.emit(Convert(node.name or "dequantize", source, target, f"float y = (x - {zero + lift}) * {scale};"))


_FAR = "1e6f"  # beyond every level, and a whole number of 32 bits


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    scale = constant(input_of(node, 1))
    computed = input_of(node, 2) is not None and constant(input_of(node, 2)) is None
    if scale is None or scale.size != 1 or computed:
        yield problem(node, "KK-G10", Severity.NOT_YET, "has a scale per channel, or a computed one", "one scale works")
    levels = node.outputs[0] if node.op_type == "QuantizeLinear" else required_input(node)
    if levels.dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        yield problem(node, "KK-G04", Severity.NOT_YET, "has levels of other than 8 bits", "")


KERNELS = (Kernel("QuantizeLinear", _quantize, _check), Kernel("DequantizeLinear", _dequantize, _check))
