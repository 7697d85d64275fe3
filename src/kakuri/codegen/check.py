"""What stands between a model and C, operator by operator.

Purpose: ``kk.check(net, "codegen")`` calls ``problems``.
Guarantees: every node is looked at after the same passes that ``plan`` runs; a model without problems lowers.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from kakuri.codegen.kernels import KERNELS
from kakuri.codegen.prepare import prepare
from kakuri.codegen.views import ELEMENTS
from kakuri.model.graph import constant
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import OperatorRule, collect, not_yet, problem

#: Operators whose computed inputs and outputs may be whole numbers; all others compute on float32.
_ANY_TYPE = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Identity", "Gather", "Cast"}
)


def problems(net: ir.Model) -> list[ModelProblem]:
    """Every problem of ``net``, in graph order."""
    return problems_of_prepared(prepare(net))


def problems_of_prepared(net: ir.Model) -> list[ModelProblem]:
    rules = tuple(OperatorRule(kernel.op_type, kernel.check, kernel.domain) for kernel in KERNELS.values())
    found = collect(net, rules, otherwise=not_yet("KK-G01", "has no kernel yet", "see docs/codegen.md"))
    return found + [item for node in net.graph for item in _types(node)]


def _types(node: ir.Node) -> Iterator[ModelProblem]:
    if (node.domain, node.op_type) not in KERNELS:
        return
    for value in (*node.inputs, *node.outputs):
        if value is None or constant(value) is not None or value.dtype is None:
            continue
        whole = node.op_type in _ANY_TYPE and value.dtype.numpy().name in ELEMENTS
        if value.dtype != ir.DataType.FLOAT and not whole:
            yield problem(node, "KK-G04", Severity.NOT_YET, f"computes on {value.dtype.name}", "export in float32")
            return
