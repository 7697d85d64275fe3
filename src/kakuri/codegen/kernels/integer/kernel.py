"""What a file of integer kernels exports: for each core operator of a quantised region, how it becomes operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.lowering import Lowering, element_of
from kakuri.codegen.views import View
from kakuri.model.quantized import Operand, Region

RegionCheck = Callable[[Region], Iterable[str]]


def _nothing(_: Region) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class IntegerKernel:
    """core: the operator's name, "" for a requantisation. check: yields what stands in the way, in words."""

    core: str
    lower: Callable[[Lowering, Region], None]
    check: RegionCheck = _nothing


def lift(value: ir.Value) -> int:
    """What is added to a value's integers where they lie in memory: int8 lies 128 higher."""
    return 128 if value.dtype == ir.DataType.INT8 else 0


def point(operand: Operand) -> int:
    """The zero point of an operand as it lies in memory."""
    return int(operand.zero_point[0]) + lift(operand.value)


def bounds(region: Region) -> tuple[int, int]:
    """The clamp of the output as it lies in memory."""
    up = lift(region.output.value)
    return region.low + up, region.high + up


def operand_view(walk: Lowering, region: Region, index: int = 0) -> View:
    return walk.value(region.operand(index).value)


def output(walk: Lowering, region: Region, order: tuple[int, ...]) -> View:
    """Memory for the region's result."""
    return walk.new(region.output.value, order, element_of(region.output.value))


def name_of(region: Region) -> str:
    return region.nodes[0].name or region.operator
