"""Functions of one quantised value: a table of 256 levels, made at generation by the oracle's own kernel.

Requantisation, with or without a clamp; Sigmoid and Tanh; and the parts of a join whose scales differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.kernel import IntegerKernel, lift, name_of, operand_view
from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View, memory_order
from kakuri.model.graph import integer, static_shape
from kakuri.model.quantized import Region
from kakuri.model.quantized.kernels import KERNELS as ORACLE
from kakuri.model.quantized.kernels.common import core

_FUNCTIONS = ("", "Relu", "Clip", "Sigmoid", "Tanh")


@dataclass(frozen=True)
class Lookup(Operation):
    """table: 256 levels, by the source's level."""

    name: str
    source: View
    table: View
    target: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    def body(self) -> str:
        axes = axes_of([self.target, self.source])
        inner = axes[-1] if axes else Axis(1, (1, 1))
        head = [f"uint8_t *q = {pointer(self.target)};", f"const uint8_t *p = {pointer(self.source)};"]
        head.append(f"const uint8_t *table = {pointer(self.table)};")
        step = [
            f"for (int i = 0; i < {inner.size}; i++)",
            f"    q[i * {inner.strides[0]}] = table[p[i * {inner.strides[1]}]];",
        ]
        return nest(head, axes[:-1], ["q", "p"], step)


def levels_of_type(value: ir.Value) -> NDArray[np.int64]:
    """Every level of an 8-bit type, in the order of how they lie in memory."""
    return np.arange(256) - lift(value)


def _lower(walk: Lowering, region: Region) -> None:
    value = region.operand(0).value
    kernel = ORACLE["" if region.core is None else region.core.op_type]
    table = kernel(region, [levels_of_type(value)]) + lift(region.output.value)
    source = operand_view(walk, region)
    target = walk.new(region.output.value, memory_order(source))
    walk.emit(Lookup(name_of(region), source, walk.weights.add(table.astype(np.uint8)), target))


def _join(walk: Lowering, region: Region) -> None:
    """Part by part; what has the result's scale and zero point keeps its levels."""
    node = core(region)
    axis, start = integer(node, "axis", 0) % len(static_shape(region.output.value)), 0
    views = [operand_view(walk, region, index) for index in range(len(region.inputs))]
    target = walk.new(region.output.value, memory_order(max(views, key=lambda view: view.size)))
    for index, view in enumerate(views):
        one = replace(region, inputs=(region.operand(index),))
        levels = levels_of_type(region.operand(index).value).reshape((1,) * axis + (-1,))
        table = ORACLE["Concat"](one, [levels]).reshape(-1) + lift(region.output.value)
        place = target.slice(axis, start, view.shape[axis])
        walk.emit(Lookup(name_of(region), view, walk.weights.add(table.astype(np.uint8)), place))
        start += view.shape[axis]


def _same_types(region: Region) -> Iterable[str]:
    if len({region.operand(index).value.dtype for index in range(len(region.inputs))}) > 1:
        yield "joins values of different types"


KERNELS = (*(IntegerKernel(name, _lower) for name in _FUNCTIONS), IntegerKernel("Concat", _join, _same_types))
