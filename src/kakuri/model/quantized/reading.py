"""The regions of a quantised graph, as data.

Purpose: one place that reads the pattern DequantizeLinear, core, fused activation, QuantizeLinear.
Guarantees: a region's core reads nothing but dequantised operands and constants; every node is in at most one region,
    except DequantizeLinear nodes, which regions share.
Does not guarantee: that a kernel for the core exists; ``kernels`` says.
Source: docs/models.md, "Quantised graphs".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import constant, input_of, integer, is_op, required_input
from kakuri.model.quantized.fixed_point import round_away

SOURCE_KEY = "kakuri.source"
_FAR = np.float32(1 << 20)  # steps beyond every level of an integer type


@dataclass(frozen=True)
class Operand:
    """A quantised value: real = scale (value - zero_point), one scale, or one for each entry of ``axis``.

    scale: float32 (k,). zero_point: int64 (k,). value: the integers, computed or an initializer.
    """

    value: ir.Value
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True)
class Region:
    """What happens between integers and integers.

    core: the float operator, None for a requantisation. operator: the source's name for it ("CONV_2D"). inputs: one
    entry per input of the core (or of the requantisation), None for one that is absent or a plain constant. low,
    high: the clamp of the output's integers, fused activation included. nodes: core, activation and QuantizeLinear,
    in order.
    """

    core: ir.Node | None
    operator: str
    inputs: tuple[Operand | None, ...]
    output: Operand
    low: int
    high: int
    nodes: tuple[ir.Node, ...]

    def operand(self, index: int) -> Operand:
        """An input that must be there. Raises KK-M20."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise KakuriError("KK-M20", "the region lacks an operand", where=self.nodes[-1].name, got=index)
        return found


def source_of(node: ir.Node) -> str:
    """The source operator that ``node`` rounds as ("CONV_2D"); empty without the mark."""
    mark = node.metadata_props.get(SOURCE_KEY, "")
    return mark.removeprefix("tflite:") if mark.startswith("tflite:") else ""


def regions(net: ir.Model) -> list[Region]:
    """Every region of ``net``, in graph order of its QuantizeLinear."""
    found = (region_of(node) for node in net.graph if is_op(node, "QuantizeLinear"))
    return [region for region in found if region is not None]


def needed(net: ir.Model, outputs: Sequence[ir.Value]) -> tuple[list[ir.Node], dict[ir.Node, Region]]:
    """The nodes to run, in order, and the regions that some of them end; what lies inside a region is not run."""
    wanted, steps, found = set(outputs), [], {}
    for node in reversed(list(net.graph)):
        if not wanted.intersection(node.outputs):
            continue
        steps.append(node)
        region = region_of(node) if is_op(node, "QuantizeLinear") else None
        if region is None:
            wanted.update(value for value in node.inputs if value is not None)
        else:
            found[node] = region
            wanted.update(item.value for item in region.inputs if item is not None)
    return steps[::-1], found


def region_of(node: ir.Node) -> Region | None:
    """The region that ends in the QuantizeLinear ``node``; None when it is a border or has no mark."""
    operator, before = source_of(node), required_input(node).producer()
    if not operator or before is None:
        return None
    output = _operand(node, node.outputs[0])
    if is_op(before, "DequantizeLinear"):
        return Region(
            None, operator, (_operand(before, required_input(before)),), output, *_bounds(node, None), (node,)
        )
    activation = None if source_of(before) else before
    core = before if activation is None else required_input(activation).producer()
    if core is None or not source_of(core) or (activation is not None and not is_op(activation, "Relu", "Clip")):
        return None
    inputs = [_core_input(value) for value in core.inputs]
    if any(item is False for item in inputs):
        return None
    operands = tuple(item if isinstance(item, Operand) else None for item in inputs)
    clamp = activation or (core if is_op(core, "Relu", "Clip") else None)
    nodes = (core, node) if activation is None else (core, activation, node)
    return Region(core, operator, operands, output, *_bounds(node, clamp), nodes)


def _core_input(value: ir.Value | None) -> Operand | bool:
    """An operand; True for nothing or a constant; False for a value computed in float."""
    producer = None if value is None else value.producer()
    if producer is not None and is_op(producer, "DequantizeLinear"):
        return _operand(producer, required_input(producer))
    return value is None or constant(value) is not None


def _operand(node: ir.Node, value: ir.Value) -> Operand:
    """``value`` with the scale and zero point of the QuantizeLinear or DequantizeLinear ``node``."""
    scale, points = constant(input_of(node, 1)), constant(input_of(node, 2))
    if scale is None or (points is None and input_of(node, 2) is not None):
        raise KakuriError("KK-M20", "a scale or zero point is not constant", where=node.name)
    flat = scale.reshape(-1).astype(np.float32)
    zeros = np.zeros(len(flat), np.int64) if points is None else points.reshape(-1).astype(np.int64)
    return Operand(value, flat, zeros, integer(node, "axis", 1) if len(flat) > 1 else 0)


def _bounds(node: ir.Node, clamp: ir.Node | None) -> tuple[int, int]:
    """The clamp of the output's integers. Source: TFLite's activation range of a quantised output."""
    output = _operand(node, node.outputs[0])
    dtype = node.outputs[0].dtype
    limits = np.iinfo(np.int8 if dtype is None else dtype.numpy())
    low, high = int(limits.min), int(limits.max)
    if clamp is None:
        return low, high
    bounds = (
        [constant(input_of(clamp, index)) for index in (1, 2)]
        if is_op(clamp, "Clip")
        else [np.zeros((), np.float32), None]
    )
    point, scale = int(output.zero_point[0]), output.scale[0]
    with np.errstate(over="ignore"):  # a bound may lie beyond every number of steps
        steps = [None if item is None else np.float32(item.item()) / scale for item in bounds]
    marks = [None if item is None else point + int(round_away(np.clip(item, -_FAR, _FAR))) for item in steps]
    return (
        low if marks[0] is None else max(low, marks[0]),
        high if marks[1] is None else min(high, marks[1]),
    )
