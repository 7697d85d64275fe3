"""Tools for a protection's own ``check``: a rule per operator, and one walk that collects everything.

Purpose: a room writes ``rules`` and calls ``collect(net, rules, otherwise=...)`` in its ``problems(net)``.
Guarantees: every node is visited once, in graph order, and all problems are returned.
Does not guarantee: that two rules do not contradict each other; one operator has one rule.

    RULES = (
        OperatorRule("Conv", check_conv),
        OperatorRule("Relu", replaceable("KK-E10", "is not a polynomial", "passes.polynomial_activation")),
        OperatorRule("MaxPool", never("KK-E11", "needs comparisons", "train with average pooling")),
        OperatorRule("Polynomial", allowed, domain="kakuri"),
    )

    def problems(net):
        return collect(net, RULES, otherwise=never("KK-E12", "is not supported", ""))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.errors import KakuriError, Problem
from kakuri.model.report import ModelProblem, Severity

NodeCheck = Callable[[ir.Node], Iterable[ModelProblem]]


@dataclass(frozen=True)
class OperatorRule:
    """What one operator must fulfil; ``check`` yields a problem for each thing it does not."""

    op_type: str
    check: NodeCheck
    domain: str = ""


def problem(node: ir.Node, code: str, severity: Severity, what: str, hint: str = "") -> ModelProblem:
    """A problem of ``node``, with its name and operator filled in."""
    return ModelProblem(code, severity, node.name or node.outputs[0].name or "", node.op_type, what, hint)


def allowed(_: ir.Node) -> Iterable[ModelProblem]:
    """The check of an operator that always works."""
    return ()


def never(code: str, what: str, hint: str = "") -> NodeCheck:
    """The check of an operator that the protection cannot compute."""
    return lambda node: (problem(node, code, Severity.NEVER, what, hint),)


def not_yet(code: str, what: str, hint: str = "") -> NodeCheck:
    """The check of an operator that is not built yet."""
    return lambda node: (problem(node, code, Severity.NOT_YET, what, hint),)


def replaceable(code: str, what: str, hint: str) -> NodeCheck:
    """The check of an operator that one of our passes replaces; ``hint`` names it."""
    return lambda node: (problem(node, code, Severity.REPLACEABLE, what, hint),)


def collect(net: ir.Model, rules: Sequence[OperatorRule], *, otherwise: NodeCheck) -> list[ModelProblem]:
    """Every problem of ``net``; nodes without a rule go to ``otherwise``.

    Raises KK-M19 for two rules on one operator.
    """
    table = {(rule.domain, rule.op_type): rule.check for rule in rules}
    if len(table) != len(rules):
        names = [f"{rule.domain}.{rule.op_type}" for rule in rules]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise KakuriError("KK-M19", "an operator has two rules", got=", ".join(repeated))
    return [found for node in net.graph for found in table.get((node.domain, node.op_type), otherwise)(node)]


def raise_unless_ok(problems: Iterable[ModelProblem], protection: str) -> None:
    """Raise every NEVER and NOT_YET problem as one KakuriError; REPLACEABLE ones pass."""
    blocking = [
        Problem(item.code, f"{item.op} {item.what}", where=f"node {item.node!r} under {protection}", hint=item.hint)
        for item in problems
        if item.severity is not Severity.REPLACEABLE
    ]
    if blocking:
        raise KakuriError.collect(blocking)
