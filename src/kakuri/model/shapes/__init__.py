"""Static shapes and types of what a node computes, in pure Python.

Purpose: shape inference that untrusted models cannot crash. ONNX's own inference is C++ that aborts the process on some
    malformed nodes (found by ``tests/unit/model/test_fuzz.py``), so it is the oracle of the tests, not a part of load.
Requires: a node that fits its operator's schema at opset 20, with inputs of known shape and type.
Guarantees: sizes in exact integers, KK-M07 for whatever does not fit or depends on data, KK-M05 for other operators.
Does not guarantee: an answer for every ONNX operator; ``SUPPORTED`` lists those it has.
Source: the ONNX operator texts, opset 20; one file per family.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from kakuri.errors import KakuriError
from kakuri.model.shapes import elementwise, linear, movement, recurrent, reduction, windows
from kakuri.model.shapes.common import Rule, Types, where

RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **linear.RULES,
    **movement.RULES,
    **recurrent.RULES,
    **reduction.RULES,
    **windows.RULES,
}
SUPPORTED = frozenset(RULES)


def infer(node: ir.Node) -> Types:
    """(type, dims) of each output that ``node`` could have, in order. Raises KK-M05, KK-M07."""
    rule = RULES.get(node.op_type)
    if rule is None:
        raise KakuriError("KK-M05", f"operator {node.op_type} is not supported", where=where(node))
    return rule(node)
