"""Which elements an ONNX Slice keeps along one axis.

Purpose: one reading of starts, ends and steps for shapes and for generated code.
Guarantees: ONNX's clamping. It differs from Python's where a backward slice begins before the axis: ONNX begins at
element 0, Python nowhere.
Source: ONNX operator specification, Slice-13.
"""

from __future__ import annotations


def kept_elements(start: int, end: int, step: int, size: int) -> range:
    """Indices kept of an axis of ``size`` elements; step is not 0."""
    if size == 0:
        return range(0)
    start, end = (value + size if value < 0 else value for value in (start, end))
    if step > 0:
        return range(_clamped(start, 0, size), _clamped(end, 0, size), step)
    return range(_clamped(start, 0, size - 1), _clamped(end, -1, size - 1), step)


def _clamped(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
