"""Which layout an operator works in when it can work in any, and what its axes are called there."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from kakuri.model.importers.tflite.operation import Operation
from kakuri.model.importers.tflite.tensors import TO_FIRST, Layout

_RANK = len(TO_FIRST)


def common(op: Operation, indices: Sequence[int]) -> Layout:
    """Channels first when a computed input is there already and the others can follow; the file's layout otherwise."""
    ranks = [len(op.shape(index)) for index in indices]
    there = any(op.input(index).array is None and op.input(index).has(Layout.FIRST) for index in indices)
    return Layout.FIRST if there and max(ranks) == _RANK else Layout.SOURCE


def operand(op: Operation, index: int, layout: Layout, *, real: bool = True) -> ir.Value:
    """An input that is broadcast to rank 4, under ``layout``."""
    shape = op.shape(index)
    if layout is Layout.SOURCE or len(shape) in (0, _RANK):
        own = Layout.SOURCE if not shape else layout
        return op.real(index, own) if real else op.raw(index, own)
    tensor, build = op.input(index), op.builder
    lifted = build.reshape(op.raw(index), (1,) * (_RANK - len(shape)) + shape, f"{tensor.name}.lifted")
    value = build.transpose(lifted, TO_FIRST, f"{tensor.name}.channels_first")
    if not real or tensor.quantization is None:
        return value
    if len(tensor.quantization.scale) > 1:
        raise op.unsupported("has an operand with several scales")
    return build.dequantize(value, tensor, 0)


def axis_of(op: Operation, axis: int, rank: int) -> int:
    """``axis`` counted from 0. Raises KK-M02 when there is no such axis."""
    if not -rank <= axis < rank:
        raise op.damaged("names an axis that its input lacks", f"{axis} for rank {rank}")
    return axis % rank


def placed(axis: int, layout: Layout) -> int:
    """Where axis ``axis`` of the file's layout stands under ``layout``."""
    return TO_FIRST.index(axis) if layout is Layout.FIRST else axis


def arranged(items: Sequence[int], layout: Layout) -> list[int]:
    """One item per axis of the file's layout, in the order of ``layout``."""
    return [items[axis] for axis in TO_FIRST] if layout is Layout.FIRST else list(items)
