"""Kakuri's own two operators, domain ``kakuri``.

Purpose: what ``Polynomial`` and ``SumPool`` mean, made and read in one place.
Guarantees: a node that reads back through this module is well formed; everything else is KK-M09.
Does not guarantee: that a runtime knows them; ``passes.expand_polynomial`` turns them into standard operators.

- ``Polynomial(x) -> y``: y = c[0] + c[1] x + ... + c[d] x^d elementwise. Attribute ``coefficients``: 1-D float64
  tensor, ascending, 2 to 65 finite entries, the last not 0.
- ``SumPool(x) -> y``: the sum over each window, x (N, C, H, W). Attributes as AveragePool's: ``kernel_shape``,
  ``strides``, ``pads``; padding counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import CUSTOM_DOMAIN, POLYNOMIAL, SUM_POOL, ints, is_op, required_input, static_shape

CUSTOM_VERSION = 1
MAX_DEGREE = 64
_SUM_POOL_ATTRIBUTES = frozenset({"kernel_shape", "strides", "pads"})
_LARGEST_WINDOW = 1 << 20


def is_polynomial(node: ir.Node | None) -> bool:
    return is_op(node, POLYNOMIAL, domain=CUSTOM_DOMAIN)


def is_sum_pool(node: ir.Node | None) -> bool:
    return is_op(node, SUM_POOL, domain=CUSTOM_DOMAIN)


def coefficients_attribute(coefficients: Sequence[float] | NDArray[np.float64]) -> ir.Attr:
    """The ``coefficients`` attribute for ascending ``coefficients``; trailing zeros are dropped.

    Raises KK-M09 unless 1 <= degree <= 64 and all are finite.
    """
    array = np.trim_zeros(np.asarray(coefficients, dtype=np.float64), "b")
    _check_coefficients(array, where="coefficients")
    return ir.AttrTensor("coefficients", ir.Tensor(array))


def coefficients_of(node: ir.Node) -> NDArray[np.float64]:
    """Ascending float64 coefficients (degree + 1,) of a Polynomial node. Raises KK-M09 when it is malformed."""
    attribute = node.attributes.get("coefficients")
    if attribute is None or attribute.type != ir.AttributeType.TENSOR:
        raise KakuriError("KK-M09", "Polynomial lacks the tensor attribute 'coefficients'", where=node.name)
    array = np.asarray(attribute.as_tensor().numpy())
    if array.dtype != np.float64:
        raise KakuriError(
            "KK-M09", "Polynomial coefficients have the wrong type", where=node.name, got=array.dtype, limit="float64"
        )
    _check_coefficients(array, where=node.name or "Polynomial")
    return array


def _check_coefficients(array: NDArray[np.float64], where: str) -> None:
    if array.ndim != 1 or not 2 <= array.size <= MAX_DEGREE + 1 or not np.isfinite(array).all() or array[-1] == 0:
        raise KakuriError(
            "KK-M09",
            "malformed polynomial coefficients",
            where=where,
            got=f"shape {array.shape}",
            limit=f"degree 1 to {MAX_DEGREE}, finite, leading coefficient not 0",
        )


def output_shape(node: ir.Node) -> tuple[int, ...]:
    """The static output shape of one of our operators. Raises KK-M09 when the node is malformed."""
    known = {POLYNOMIAL: frozenset({"coefficients"}), SUM_POOL: _SUM_POOL_ATTRIBUTES}
    attributes = known.get(node.op_type) if node.domain == CUSTOM_DOMAIN else None
    if attributes is None or len(node.inputs) != 1 or len(node.outputs) != 1:
        raise KakuriError("KK-M09", f"{node.domain}.{node.op_type} is not an operator of Kakuri", where=node.name)
    stray = sorted(set(node.attributes) - attributes)
    if stray or any(attribute.is_ref() for attribute in node.attributes.values()):
        raise KakuriError("KK-M09", f"{node.op_type} has attributes it does not know", where=node.name, got=stray[:4])
    value = required_input(node)
    if value.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16):
        raise KakuriError("KK-M09", f"{node.op_type} needs a floating-point input", where=node.name, got=value.dtype)
    shape = static_shape(value)
    if node.op_type == POLYNOMIAL:
        coefficients_of(node)
        return shape
    return _sum_pool_shape(node, shape)


def _sum_pool_shape(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    for name in _SUM_POOL_ATTRIBUTES & set(node.attributes):
        if node.attributes[name].type != ir.AttributeType.INTS:
            raise KakuriError("KK-M09", f"attribute {name!r} of SumPool must be a list of integers", where=node.name)
    kernel = ints(node, "kernel_shape")
    axes = len(kernel)
    strides, pads = ints(node, "strides", (1,) * axes), ints(node, "pads", (0,) * (2 * axes))
    fits = axes >= 1 and len(shape) == axes + 2 and len(strides) == axes and len(pads) == 2 * axes
    fits = fits and all(0 < item <= _LARGEST_WINDOW for item in kernel + strides)
    fits = fits and all(0 <= pads[axis] < kernel[axis % axes] for axis in range(2 * axes))
    spans = [shape[2 + i] + pads[i] + pads[axes + i] - kernel[i] for i in range(axes)] if fits else [-1]
    if min(spans) < 0:
        raise KakuriError("KK-M09", "malformed SumPool window", where=node.name, got=f"kernel {kernel}, input {shape}")
    return shape[:2] + tuple(span // stride + 1 for span, stride in zip(spans, strides, strict=True))
