"""What stands between a model and C, operator by operator.

Purpose: ``kk.check(net, "codegen")`` calls ``problems``.
Guarantees: every node is looked at after the same passes that ``plan`` runs; a model without problems lowers.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from kakuri.codegen.kernels import KERNELS
from kakuri.codegen.kernels.integer import INTEGER_KERNELS
from kakuri.codegen.prepare import prepare
from kakuri.codegen.views import ELEMENTS
from kakuri.model.graph import constant
from kakuri.model.quantized import Region, needed
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import not_yet, problem

#: Operators whose computed inputs and outputs may be whole numbers; all others compute on float32.
_ANY_TYPE = frozenset(
    {
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Split",
        "Identity",
        "Gather",
        "Cast",
        "Concat",
    }
    | {"Pad", "MaxPool", "ArgMax", "QuantizeLinear", "DequantizeLinear", "Expand"}
)


_MISSING = not_yet("KK-G01", "has no kernel yet", "see docs/codegen.md")


def problems(net: ir.Model) -> list[ModelProblem]:
    """Every problem of ``net``, in graph order."""
    return problems_of_prepared(prepare(net))


def problems_of_prepared(net: ir.Model) -> list[ModelProblem]:
    steps, found = needed(net, net.graph.outputs)
    return [item for node in steps for item in (_region(found[node]) if node in found else _node(node))]


def _region(region: Region) -> Iterator[ModelProblem]:
    """What stands between a quantised region and integer C."""
    core = region.core or region.nodes[-1]
    kernel = INTEGER_KERNELS.get("" if region.core is None else region.core.op_type)
    if kernel is None:
        yield from _MISSING(core)
        return
    for what in kernel.check(region):
        yield problem(core, "KK-G18", Severity.NOT_YET, what, "see docs/codegen.md, quantised networks")


def _node(node: ir.Node) -> Iterator[ModelProblem]:
    kernel = KERNELS.get((node.domain, node.op_type))
    if kernel is None:
        yield from _MISSING(node)
        return
    yield from kernel.check(node)
    yield from _types(node)


def _types(node: ir.Node) -> Iterator[ModelProblem]:
    for value in (*node.inputs, *node.outputs):
        if value is None or constant(value) is not None or value.dtype is None:
            continue
        whole = node.op_type in _ANY_TYPE and value.dtype.numpy().name in ELEMENTS
        if value.dtype != ir.DataType.FLOAT and not whole:
            yield problem(node, "KK-G04", Severity.NOT_YET, f"computes on {value.dtype.name}", "export in float32")
            return
