"""What stands between a model and encrypted inference, operator by operator.

Purpose: ``kk.check(net, "encrypted")`` calls ``problems``.
Guarantees: every node is looked at after the same passes that ``plan`` runs; each problem has a repair or says that
there is none. A model without problems lowers; whether it fits a packing and a ring, ``plan`` says.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from kakuri.encrypted.packings.polynomial import MAX_DEGREE
from kakuri.encrypted.prepare import normalize
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import OperatorRule, allowed, collect, never, not_yet, problem, replaceable

_POLYNOMIAL = "use kakuri.model.passes.polynomial_activation, then train a little further"


def _convolution(node: ir.Node) -> Iterable[ModelProblem]:
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        yield problem(
            node, "KK-E50", Severity.NEVER, "has weights that are not constant", "weights must be in the model"
        )
    elif len(weight.const_value.shape) != 4:
        axes = len(weight.const_value.shape) - 2
        yield problem(node, "KK-E51", Severity.NOT_YET, f"convolves over {axes} axes", "reshape the input to 2-D")


def _dense(node: ir.Node) -> Iterable[ModelProblem]:
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        yield problem(
            node, "KK-E50", Severity.NEVER, "has weights that are not constant", "weights must be in the model"
        )


def _average_pool(node: ir.Node) -> Iterable[ModelProblem]:
    pads = node.attributes.get("pads")
    counted = node.attributes.get("count_include_pad")
    if pads is not None and any(pads.as_ints()) and not (counted is not None and counted.as_int()):
        yield problem(node, "KK-E52", Severity.NOT_YET, "leaves padding out of its average", "set count_include_pad")


def _polynomial(node: ir.Node) -> Iterable[ModelProblem]:
    degree = int(node.attributes["coefficients"].as_tensor().shape.numpy()[0]) - 1
    if degree > MAX_DEGREE:
        hint = f"fit a polynomial of degree {MAX_DEGREE} or less"
        yield problem(node, "KK-E53", Severity.NOT_YET, f"has degree {degree}", hint)
    if degree < 1:
        yield problem(
            node, "KK-E53", Severity.NEVER, "is constant: the answer does not depend on the input", "check the model"
        )


def _sum(node: ir.Node) -> Iterable[ModelProblem]:
    if any(value is not None and value.const_value is not None for value in node.inputs):
        yield problem(
            node, "KK-E54", Severity.NOT_YET, "adds a tensor constant", "fold it into the bias of the layer before"
        )
    shapes = {tuple(value.shape) for value in node.inputs if value is not None and value.shape is not None}
    if len(shapes) > 1:
        yield problem(node, "KK-E55", Severity.NOT_YET, f"adds shapes {sorted(map(str, shapes))}", "add equal shapes")


_ACTIVATION = replaceable("KK-E56", "is not a polynomial", _POLYNOMIAL)
RULES = (
    OperatorRule("Conv", _convolution),
    OperatorRule("Gemm", _dense),
    OperatorRule("AveragePool", _average_pool),
    OperatorRule("SumPool", allowed, domain="kakuri"),
    OperatorRule("Polynomial", _polynomial, domain="kakuri"),
    OperatorRule("Add", _sum),
    OperatorRule("Sum", _sum),
    OperatorRule("Flatten", allowed),
    OperatorRule("Identity", allowed),
    *(
        OperatorRule(op, _ACTIVATION)
        for op in ("Relu", "Sigmoid", "Swish", "HardSwish", "Gelu", "Elu", "LeakyRelu", "Tanh")
    ),
    OperatorRule("MaxPool", never("KK-E57", "needs comparisons", "train with average pooling instead")),
    OperatorRule("Softmax", never("KK-E58", "needs divisions", "cut it off; the client can apply it to the answer")),
    OperatorRule("ArgMax", never("KK-E58", "needs comparisons", "cut it off; the client can apply it to the answer")),
    OperatorRule("Concat", not_yet("KK-E59", "is not built yet", "add branches instead of joining them")),
    OperatorRule("Reshape", not_yet("KK-E59", "does more than flatten", "only flattening is free on ciphertexts")),
)


def problems(net: ir.Model) -> list[ModelProblem]:
    """Every problem of ``net``, in graph order."""
    return collect(normalize(net), RULES, otherwise=not_yet("KK-E59", "cannot run on ciphertexts yet", "see README.md"))
