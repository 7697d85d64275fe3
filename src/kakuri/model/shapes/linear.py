"""Shapes of matrix products."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.graph import input_of, integer
from kakuri.model.shapes.common import Rule, Types, broadcast, dims, dtype, misfit


def _gemm(node: ir.Node) -> Types:
    left, right = dims(node), dims(node, 1)
    if len(left) != 2 or len(right) != 2:
        raise misfit(node, "needs two matrices", f"{left} and {right}")
    rows, inner = left[::-1] if integer(node, "transA", 0) else left
    other, columns = right[::-1] if integer(node, "transB", 0) else right
    if inner != other:
        raise misfit(node, "the matrices do not fit", f"{left} and {right}")
    shape = (rows, columns)
    if input_of(node, 2) is not None and (len(dims(node, 2)) > 2 or broadcast(node, [shape, dims(node, 2)]) != shape):
        raise misfit(node, "the bias does not match the output", dims(node, 2))
    return [(dtype(node), shape)]


def _matmul(node: ir.Node) -> Types:
    left, right = dims(node), dims(node, 1)
    if not left or not right:
        raise misfit(node, "a scalar has no matrix product")
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    if left[-1] != (right[-2] if len(right) > 1 else right[0]):
        raise misfit(node, "the matrices do not fit", f"{left} and {right}")
    return [(dtype(node), broadcast(node, [left[:-2], right[:-2]]) + rows + columns)]


RULES: dict[str, Rule] = {"Gemm": _gemm, "MatMul": _matmul}
