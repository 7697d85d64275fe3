"""Weights next to zero rounded away from it.

Purpose: a plaintext of zeros would make a transparent ciphertext, which SEAL-like libraries refuse.
Requires: static shapes.
Ensures: no constant weight w of a Conv or Gemm has |w| < epsilon: 0 <= w becomes epsilon, w < 0 becomes -epsilon.
    Biases stay. Initializers that others share are copied first.
Source: S4, section 5.3.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.graph import Editor, constant, input_of, is_op, remove_unused

Floats = NDArray[np.floating]

EPSILON = 1e-7


def round_small_weights(net: ir.Model, epsilon: float = EPSILON) -> ir.Model:
    """A copy of ``net`` without weights of magnitude below ``epsilon``. Raises KK-M23 for an unusable epsilon."""
    _check(epsilon)
    net = net.clone()
    edit = Editor(net)
    for node in net.graph:
        weight = _weight(node)
        if weight is None or not (small := np.abs(weight) < epsilon).any():
            continue
        edge = _edge(weight, epsilon)
        edit.replace_constant(node, 1, np.where(small, np.where(weight < 0, -edge, edge), weight).astype(weight.dtype))
    remove_unused(net)
    return net


def count_small_weights(net: ir.Model, epsilon: float = EPSILON) -> dict[str, int]:
    """Node name -> how many of its weights ``round_small_weights`` would change; nodes with none are left out."""
    _check(epsilon)
    weights = {node.name or "": _weight(node) for node in net.graph}
    counts = {name: int((np.abs(array) < epsilon).sum()) for name, array in weights.items() if array is not None}
    return {name: count for name, count in counts.items() if count}


def _weight(node: ir.Node) -> Floats | None:
    weight = constant(input_of(node, 1)) if is_op(node, "Conv", "Gemm") else None
    if weight is None or not np.issubdtype(weight.dtype, np.floating):
        return None
    return cast("Floats", weight)


def _edge(weight: Floats, epsilon: float) -> float:
    """``epsilon`` in the weights' type, never rounded below it."""
    edge = np.asarray(epsilon, dtype=weight.dtype)
    return float(edge if edge >= epsilon else np.nextafter(edge, np.asarray(np.inf, dtype=weight.dtype)))


def _check(epsilon: float) -> None:
    if not 0 < epsilon < 1:
        raise KakuriError("KK-M23", "epsilon out of range", got=epsilon, limit="0 < epsilon < 1")
