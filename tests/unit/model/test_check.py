"""Reports, rules and the door to a protection's own knowledge."""

from __future__ import annotations

import json

import pytest
from onnx import helper

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model import ModelProblem, Report, Severity
from kakuri.model.support import (
    OperatorRule,
    allowed,
    collect,
    never,
    not_yet,
    problem,
    raise_unless_ok,
    replaceable,
)
from tests.unit.model.builders import loaded, model


@pytest.fixture
def net():
    chain = ["Relu", "Sigmoid", "Tanh", "Neg", "Exp"]
    nodes = [
        helper.make_node(op, ["x" if k == 0 else f"v{k - 1}"], [f"v{k}"], name=f"{op.lower()}-node")
        for k, op in enumerate(chain)
    ]
    return loaded(model(nodes, {"x": [1, 2]}, ["v4"]))


def only_small(node):
    if node.outputs[0].shape[1] > 1:
        yield problem(node, "KK-E03", Severity.NOT_YET, "is too wide", "make it smaller")


RULES = (
    OperatorRule("Relu", replaceable("KK-E01", "is no polynomial", "polynomial_activation")),
    OperatorRule("Sigmoid", never("KK-E02", "is forbidden")),
    OperatorRule("Tanh", only_small),
    OperatorRule("Neg", allowed),
)


def test_every_problem_in_graph_order(net):
    found = collect(net, RULES, otherwise=not_yet("KK-E09", "is unknown"))
    assert [(item.code, item.severity, item.node, item.op) for item in found] == [
        ("KK-E01", Severity.REPLACEABLE, "relu-node", "Relu"),
        ("KK-E02", Severity.NEVER, "sigmoid-node", "Sigmoid"),
        ("KK-E03", Severity.NOT_YET, "tanh-node", "Tanh"),
        ("KK-E09", Severity.NOT_YET, "exp-node", "Exp"),
    ]


def test_rules_are_per_domain(net):
    found = collect(net, [OperatorRule("Relu", never("KK-E02", ""), domain="kakuri")], otherwise=allowed)
    assert found == []


def test_two_rules_for_one_operator(net):
    with pytest.raises(KakuriError) as caught:
        collect(net, [*RULES, OperatorRule("Neg", allowed)], otherwise=allowed)
    assert caught.value.code == "KK-M19"


def item(severity):
    return ModelProblem("KK-E01", severity, "conv1", "Conv", "is odd", "repair it")


@pytest.mark.parametrize(
    ("severities", "ok"),
    [
        ([], True),
        ([Severity.REPLACEABLE], True),
        ([Severity.REPLACEABLE, Severity.NOT_YET], False),
        ([Severity.NEVER], False),
    ],
)
def test_ok_means_runnable_after_repairs(severities, ok):
    report = Report("encrypted", tuple(item(severity) for severity in severities))
    assert report.ok is ok
    assert json.loads(json.dumps(report.to_dict()))["ok"] is ok


def test_text_names_node_and_repair():
    text = str(Report("encrypted", (item(Severity.REPLACEABLE),)))
    assert (
        text
        == "encrypted: can run after the repairs below\n  KK-E01 [replaceable] conv1 (Conv): is odd. hint: repair it"
    )
    assert str(Report("encrypted")) == "encrypted: no problems"


def test_dict_form():
    report = Report("encrypted", (item(Severity.NEVER),))
    assert report.to_dict()["problems"] == [
        {"code": "KK-E01", "severity": "never", "node": "conv1", "op": "Conv", "what": "is odd", "hint": "repair it"}
    ]


def test_raise_unless_ok_raises_all_blocking_problems():
    with pytest.raises(KakuriError) as caught:
        raise_unless_ok([item(Severity.NEVER), item(Severity.REPLACEABLE), item(Severity.NOT_YET)], "encrypted")
    assert len(caught.value.problems) == 2
    raise_unless_ok([item(Severity.REPLACEABLE)], "encrypted")


@pytest.mark.parametrize(("name", "hint"), [("encryptd", "did you mean 'encrypted'?"), ("xyz", "")])
def test_unknown_protection_lists_the_known(net, name, hint):
    with pytest.raises(KakuriError) as caught:
        kk.check(net, name)
    assert caught.value.code == "KK-M18"
    assert caught.value.problem.limit == ", ".join(kk.model.PROTECTIONS)
    assert caught.value.problem.hint == hint
