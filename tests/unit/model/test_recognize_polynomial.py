"""Recognition of polynomials against numpy's polynomial arithmetic and against direct evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from onnx import helper

from kakuri.errors import KakuriError
from kakuri.model import reference_values
from kakuri.model.custom_ops import coefficients_of, is_polynomial
from kakuri.model.passes import polynomial_activation, recognize_polynomial
from tests.unit.model.builders import loaded, model

SHAPE = (1, 2, 3)
NUMBERS = st.sampled_from([-2.0, -0.5, 0.25, 1.0, 1.5, 3.0])  # exact in float32

#: An expression: a tuple of the operator and its operands; "x" is the variable, a float a constant.
TREES = st.recursive(
    st.just("x"),
    lambda trees: st.one_of(
        st.tuples(st.sampled_from(["Add", "Sub", "Mul"]), trees, trees),
        st.tuples(st.sampled_from(["Add", "Sub", "Mul"]), trees, NUMBERS),
        st.tuples(st.sampled_from(["Add", "Sub", "Mul"]), NUMBERS, trees),
        st.tuples(st.just("Div"), trees, NUMBERS),
        st.tuples(st.just("Neg"), trees),
        st.tuples(st.just("Pow"), trees, st.sampled_from([1.0, 2.0, 3.0])),
    ),
    max_leaves=6,
)


class Emitter:
    """Turns an expression into ONNX nodes, with Relu before and after as borders."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def emit(self, tree):
        if isinstance(tree, float):
            name = f"k{len(self.constants)}"
            self.constants[name] = np.full((1,) * (len(self.constants) % 3), tree, np.float32)
            return name
        if tree == "x":
            return "border"
        inputs = [self.emit(part) for part in tree[1:]]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(tree[0], inputs, [name], name=f"step{len(self.nodes)}"))
        return name

    def model(self, tree):
        border = helper.make_node("Tanh", ["x"], ["border"], name="before")
        last = self.emit(tree)
        after = helper.make_node("Tanh", [last], ["y"], name="after")
        return model([border, *self.nodes, after], {"x": SHAPE}, ["y"], self.constants)


def polynomial(tree):
    """The same expression in numpy's polynomial class."""
    if isinstance(tree, float):
        return Polynomial([tree])
    if tree == "x":
        return Polynomial([0.0, 1.0])
    operands = [polynomial(part) for part in tree[1:]]
    arithmetic = {
        "Add": lambda p, q: p + q,
        "Sub": lambda p, q: p - q,
        "Mul": lambda p, q: p * q,
        "Div": lambda p, q: p / q.coef[0],
        "Neg": lambda p: -p,
        "Pow": lambda p, q: p ** int(q.coef[0]),
    }
    return arithmetic[tree[0]](*operands)


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_random_expression_becomes_one_node_with_numpys_coefficients(tree):
    expected = np.trim_zeros(polynomial(tree).coef, "b")
    net = recognize_polynomial(loaded(Emitter().model(tree)), max_degree=64)
    found = [node for node in net.graph if is_polynomial(node)]
    if tree == "x" or expected.size < 2 or expected.size > 65:
        return
    if expected.tolist() == [0.0, 1.0] and not found:  # x * 1 and the like is gone after loading
        return
    assert [node.op_type for node in net.graph] == ["Tanh", "Polynomial", "Tanh"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(coefficients_of(found[0]), expected, rtol=1e-12, atol=1e-12 * scale)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_recognised_values_equal_direct_evaluation(tree):
    net = recognize_polynomial(loaded(Emitter().model(tree)), max_degree=16)
    x = np.linspace(-0.9, 0.9, 6).reshape(SHAPE)
    found = [node for node in net.graph if is_polynomial(node)]
    if len(found) != 1 or [node.op_type for node in net.graph].count("Tanh") != 2 or len(net.graph) != 3:
        return
    values = reference_values(net, x, ["border", found[0].outputs[0].name])
    expected = polynomial(tree)(values["border"].astype(np.float64))
    bound = 1e-5 * np.abs(coefficients_of(found[0])).sum() + 1e-6
    np.testing.assert_allclose(values[found[0].outputs[0].name], expected, atol=bound)


def nodes(*entries):
    return [helper.make_node(op, inputs, [out], name=name) for op, inputs, out, name in entries]


def test_the_last_node_gives_name_and_output():
    net = recognize_polynomial(
        loaded(
            model(
                nodes(
                    ("Mul", ["x", "x"], "sq", "square"),
                    ("Add", ["sq", "x"], "act", "act1"),
                    ("Tanh", ["act"], "y", "t"),
                ),
                {"x": [1, 4]},
                ["y"],
            )
        )
    )
    node = next(iter(net.graph))
    assert (node.name, node.op_type, node.outputs[0].name, node.domain) == ("act1", "Polynomial", "act", "kakuri")
    assert coefficients_of(node).tolist() == [0.0, 1.0, 1.0]
    assert net.graph.opset_imports["kakuri"] == 1


def test_a_value_that_others_read_gets_its_own_polynomial_of_the_same_root():
    net = recognize_polynomial(
        loaded(
            model(
                nodes(
                    ("Mul", ["x", "x"], "sq", "square"),
                    ("Mul", ["sq", "x"], "cube", "cube"),
                    ("Tanh", ["sq"], "y", "t1"),
                    ("Tanh", ["cube"], "z", "t2"),
                ),
                {"x": [1, 4]},
                ["y", "z"],
            )
        )
    )
    found = {
        node.name: (node.inputs[0].name, coefficients_of(node).tolist()) for node in net.graph if is_polynomial(node)
    }
    assert found == {"square": ("x", [0, 0, 1]), "cube": ("x", [0, 0, 0, 1])}


def test_products_of_two_values_and_channel_constants_stay():
    per_channel = np.array([1.0, 2.0], np.float32).reshape(2, 1)
    net = recognize_polynomial(
        loaded(
            model(
                nodes(
                    ("Tanh", ["x"], "a", "tanh"),
                    ("Mul", ["a", "x"], "p", "product"),
                    ("Mul", ["p", "c"], "y", "scale"),
                ),
                {"x": SHAPE},
                ["y"],
                {"c": per_channel},
            )
        )
    )
    assert [node.op_type for node in net.graph] == ["Tanh", "Mul", "Mul"]


def test_broadcasting_to_a_larger_shape_is_no_polynomial():
    net = recognize_polynomial(
        loaded(model(nodes(("Add", ["x", "c"], "y", "grow")), {"x": [1, 1]}, ["y"], {"c": np.ones((2, 3), np.float32)}))
    )
    assert [node.op_type for node in net.graph] == ["Add"]


def test_degree_limit_splits_a_tower_of_squares():
    tower = [(("Mul"), [f"v{k}", f"v{k}"], f"v{k + 1}", f"s{k}") for k in range(7)]
    tower[0] = ("Mul", ["x", "x"], "v1", "s0")
    net = recognize_polynomial(loaded(model(nodes(*tower), {"x": [1, 2]}, ["v7"])), max_degree=32)
    degrees = [coefficients_of(node).size - 1 for node in net.graph]
    assert degrees == [32, 4]


def test_float64_coefficients_survive():
    net = polynomial_activation(loaded(model(nodes(("Relu", ["x"], "y", "act")), {"x": [1, 2]}, ["y"])))
    found = coefficients_of(next(iter(recognize_polynomial(net).graph)))
    assert (found != found.astype(np.float32)).any()
    np.testing.assert_array_equal(found, coefficients_of(next(iter(net.graph))))


@pytest.mark.parametrize("degree", [0, 65])
def test_unusable_degree_limit(degree):
    net = loaded(model(nodes(("Mul", ["x", "x"], "y", "s")), {"x": [1, 2]}, ["y"]))
    with pytest.raises(KakuriError) as caught:
        recognize_polynomial(net, max_degree=degree)
    assert caught.value.code == "KK-M20"
