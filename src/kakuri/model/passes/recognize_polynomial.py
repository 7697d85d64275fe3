"""Elementwise polynomials, however they are written, as one node each.

Requires: static shapes, folded constants.
Ensures: every maximal subgraph of Add, Sub, Mul, Div by a constant, Neg, Pow, Sum and ``kakuri.Polynomial`` that is a
    polynomial in one value, with scalar coefficients and a degree of 1 to ``max_degree``, is one
    ``kakuri.Polynomial`` that keeps the last node's name and output; its coefficients are float64. Values inside it
    that others read too get a Polynomial of their own. Polynomials of degree 0 (x - x) stay as they are.
Does not guarantee: bit-equal float results; the arithmetic is reordered.
Source: design decision 1; the coefficients follow from polynomial arithmetic on the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.custom_ops import MAX_DEGREE, coefficients_attribute, coefficients_of, is_polynomial
from kakuri.model.graph import (
    CUSTOM_DOMAIN,
    POLYNOMIAL,
    Editor,
    constant,
    is_op,
    remove_unused,
    required_input,
    static_shape,
)

Float64 = NDArray[np.float64]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


@dataclass(frozen=True)
class _Poly:
    """``coefficients`` (ascending, float64) of a polynomial in ``root``; root None for a constant."""

    root: ir.Value | None
    coefficients: Float64

    @property
    def degree(self) -> int:
        return self.coefficients.size - 1


def recognize_polynomial(net: ir.Model, max_degree: int = 32) -> ir.Model:
    """A copy of ``net`` with polynomial subgraphs as Polynomial nodes. Raises KK-M20 unless 1 <= max_degree <= 64."""
    if not 1 <= max_degree <= MAX_DEGREE:
        raise KakuriError("KK-M20", "max_degree out of range", got=max_degree, limit=f"1 to {MAX_DEGREE}")
    net = net.clone()
    found = _find(net, max_degree)
    edit = Editor(net)
    for node in list(net.graph):
        poly = found.get(node.outputs[0])
        if poly is None or poly.root is None or poly.degree < 1:
            continue
        if _is_read_outside(node.outputs[0], found):
            _replace(edit, node, edit.current(poly.root), poly.coefficients)
    remove_unused(net)
    net.graph.opset_imports.setdefault(CUSTOM_DOMAIN, 1)
    if not any(node.domain == CUSTOM_DOMAIN for node in net.graph):
        del net.graph.opset_imports[CUSTOM_DOMAIN]
    return net


def _find(net: ir.Model, max_degree: int) -> dict[ir.Value, _Poly]:
    """The polynomial each value is, for those computed by polynomial nodes from one root of the same shape."""
    found: dict[ir.Value, _Poly] = {}
    for node in net.graph:
        output = node.outputs[0]
        if output.dtype not in _FLOATS:
            continue
        for known in (found, {}):  # in the deepest root; when the degree is too large, in the operand itself
            poly = _combine(node, [_operand(value, known) for value in node.inputs], max_degree)
            if poly is not None and poly.root is not None and static_shape(output) == static_shape(poly.root):
                found[output] = poly
                break
    return found


def _operand(value: ir.Value | None, found: dict[ir.Value, _Poly]) -> _Poly | None:
    if value is None:
        return None
    if value in found:
        return found[value]
    array = constant(value)
    if array is None:
        return _Poly(value, np.array([0.0, 1.0]))
    if array.size == 0 or not np.issubdtype(array.dtype, np.number) or np.any(array != array.flat[0]):
        return None
    return _Poly(None, np.array([float(array.flat[0])]))


def _combine(node: ir.Node, candidates: list[_Poly | None], max_degree: int) -> _Poly | None:
    operands = [item for item in candidates if item is not None]
    roots = {item.root for item in operands if item.root is not None}
    if len(roots) != 1 or len(operands) != len(candidates):
        return None
    coefficients = _arithmetic(node, operands, max_degree)
    if coefficients is None:
        return None
    trimmed = np.trim_zeros(coefficients, "b") if coefficients.any() else np.zeros(1)
    return _Poly(roots.pop(), trimmed) if trimmed.size <= max_degree + 1 and np.isfinite(trimmed).all() else None


def _arithmetic(node: ir.Node, operands: list[_Poly], max_degree: int) -> Float64 | None:
    parts = [item.coefficients for item in operands]
    if is_polynomial(node):
        return _compose(coefficients_of(node), parts[0], max_degree)
    if is_op(node, "Add", "Sum"):
        return reduce(_add, parts)
    if is_op(node, "Sub"):
        return _add(parts[0], -parts[1])
    if is_op(node, "Neg"):
        return -parts[0]
    if is_op(node, "Mul"):
        return _multiply(parts, max_degree)
    return _by_constant(node, operands, max_degree) if is_op(node, "Div", "Pow") else None


def _by_constant(node: ir.Node, operands: list[_Poly], max_degree: int) -> Float64 | None:
    """A polynomial divided by a number, or raised to a whole power."""
    base, number = operands[0].coefficients, float(operands[1].coefficients[0])
    if operands[1].root is not None:
        return None
    if is_op(node, "Div"):
        return base / number if number != 0 else None
    if number.is_integer() and 1 <= number <= max_degree:
        return _multiply([base] * int(number), max_degree)
    return None


def _add(left: Float64, right: Float64) -> Float64:
    result = np.zeros(max(left.size, right.size))
    result[: left.size] += left
    result[: right.size] += right
    return result


def _multiply(factors: list[Float64], max_degree: int) -> Float64 | None:
    if sum(factor.size - 1 for factor in factors) > max_degree:
        return None
    return reduce(_convolve, factors)


def _convolve(left: Float64, right: Float64) -> Float64:
    return np.asarray(np.convolve(left, right), dtype=np.float64)


def _compose(outer: Float64, inner: Float64, max_degree: int) -> Float64 | None:
    if (outer.size - 1) * (inner.size - 1) > max_degree:
        return None
    result = outer[-1:]
    for coefficient in outer[-2::-1]:
        result = _add(_convolve(result, inner), np.array([coefficient]))
    return result


def _is_read_outside(value: ir.Value, found: dict[ir.Value, _Poly]) -> bool:
    """Whether something needs ``value`` itself: an output, or a reader that is not part of the same polynomial."""
    if value.is_graph_output():
        return True
    root = found[value].root
    return any(user.outputs[0] not in found or found[user.outputs[0]].root is not root for user in value.consumers())


def _replace(edit: Editor, node: ir.Node, root: ir.Value, coefficients: Float64) -> None:
    if is_polynomial(node) and required_input(node) is root:
        return
    output = node.outputs[0]
    value = edit.node(
        node,
        POLYNOMIAL,
        [root],
        {"coefficients": coefficients_attribute(coefficients)},
        name=f"{node.name}.polynomial",
        shape=static_shape(output),
        dtype=output.dtype,
        domain=CUSTOM_DOMAIN,
    )
    edit.substitute(node, value)
