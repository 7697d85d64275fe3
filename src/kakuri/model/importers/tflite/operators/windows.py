"""Padding of sliding windows. Source: TFLite's SAME (smaller half before) and VALID."""

from __future__ import annotations

from collections.abc import Sequence

from kakuri.model.importers.tflite import schema
from kakuri.model.importers.tflite.operation import Operation

_LARGEST = 1 << 20


def strides_of(op: Operation) -> tuple[int, int]:
    """Vertical and horizontal stride. Raises KK-M02 when they are not positive."""
    return positive(op, "stride", (op.integer("StrideH"), op.integer("StrideW")))


def dilations_of(op: Operation) -> tuple[int, int]:
    return positive(op, "dilation", (op.integer("DilationHFactor"), op.integer("DilationWFactor")))


def positive(op: Operation, what: str, sizes: tuple[int, int]) -> tuple[int, int]:
    if not all(0 < size <= _LARGEST for size in sizes):
        raise op.damaged(f"has a malformed {what}", sizes)
    return sizes


def pads_of(
    op: Operation, spatial: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Padding before each spatial axis, then after each."""
    kind = schema.names("Padding").get(op.integer("Padding"), "")
    if kind == "VALID":
        return [0] * (2 * len(spatial))
    if kind != "SAME":
        raise op.damaged("has an unknown padding", op.integer("Padding"))
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        for size, width, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True)
    ]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]
