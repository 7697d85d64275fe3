"""Coefficient folding on networks small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from kakuri.model.custom_ops import coefficients_attribute, coefficients_of
from kakuri.model.graph import constant
from kakuri.model.passes import fold_coefficients, recognize_polynomial, round_small_weights
from kakuri.model.passes.round_small_weights import count_small_weights
from tests.unit.model.builders import loaded, model


def node(op, inputs, output, name, **attributes):
    return helper.make_node(op, inputs, [output], name=name, **attributes)


def by_name(net):
    return {item.name: item for item in net.graph}


def quadratic(x, output, name, descending):
    """A quadratic by Horner, and its constants."""
    steps = [
        node("Mul", [x, f"{name}.c2"], f"{name}.a", f"{name}.s1"),
        node("Add", [f"{name}.a", f"{name}.c1"], f"{name}.b", f"{name}.s2"),
        node("Mul", [f"{name}.b", x], f"{name}.c", f"{name}.s3"),
        node("Add", [f"{name}.c", f"{name}.c0"], output, name),
    ]
    return steps, {f"{name}.c{power}": np.float32(number) for power, number in enumerate(descending[::-1])}


def gemm_then_quadratic():
    steps, constants = quadratic("h", "y", "act", (-0.25, 0.5, 3.0))
    weights = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    return model(
        [node("Gemm", ["x", "w", "b"], "h", "fc", transB=1), *steps],
        {"x": [1, 2]},
        ["y"],
        {**constants, "w": weights, "b": np.array([1.0, -1.0], np.float32)},
    )


def test_leading_coefficient_moves_into_the_layer_before():
    """-x^2/4 + x/2 + 3 with u = x/2 is -u^2 + u + 3."""
    net = by_name(fold_coefficients(recognize_polynomial(loaded(gemm_then_quadratic()))))
    assert coefficients_of(net["act"]).tolist() == [3.0, 1.0, -1.0]
    np.testing.assert_array_equal(constant(net["fc"].inputs[1]), [[0.5, 1.0], [1.5, 2.0]])
    np.testing.assert_array_equal(constant(net["fc"].inputs[2]), [0.5, -0.5])


def test_weights_keep_their_name():
    net = by_name(fold_coefficients(recognize_polynomial(loaded(gemm_then_quadratic()))))
    assert [value.name for value in net["fc"].inputs] == ["x", "w", "b"]


def test_nothing_folds_when_the_layer_is_read_elsewhere():
    proto = gemm_then_quadratic()
    proto.graph.output.append(helper.make_tensor_value_info("h", 1, None))
    net = by_name(fold_coefficients(recognize_polynomial(loaded(proto))))
    assert coefficients_of(net["act"])[-1] == -0.25


@pytest.fixture
def shared_weights():
    """Two convolutions share one kernel; only the first one's result is squared."""
    kernel = np.ones((1, 1, 1, 1), np.float32)
    return model(
        [
            node("Conv", ["x", "k"], "a", "first"),
            node("Mul", ["a", "a"], "sq", "square.mul"),
            node("Mul", ["sq", "four"], "b", "square"),
            node("Conv", ["x", "k"], "c", "second"),
            node("Add", ["b", "c"], "y", "sum"),
        ],
        {"x": [1, 1, 2, 2]},
        ["y"],
        {"k": kernel, "four": np.float32(4.0)},
    )


def test_shared_weights_are_copied(shared_weights):
    net = by_name(fold_coefficients(recognize_polynomial(loaded(shared_weights))))
    assert constant(net["first"].inputs[1]).item() == 2.0
    assert constant(net["second"].inputs[1]).item() == 1.0
    assert coefficients_of(net["square"]).tolist() == [0.0, 0.0, 1.0]


def pooled(*tail, outputs=("y",), constants=None, **pool):
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2], **pool}
    weights = {"w": np.ones((3, 4), np.float32), "bias": np.ones(3, np.float32), **(constants or {})}
    return model(
        [node("AveragePool", ["x"], "p", "pool", **attributes), *tail], {"x": [1, 1, 4, 4]}, list(outputs), weights
    )


FLATTEN = (node("Flatten", ["p"], "f", "flat"), node("Gemm", ["f", "w", "bias"], "y", "fc", transB=1))


def test_pooling_divisor_moves_into_the_weights_but_not_the_bias():
    net = by_name(fold_coefficients(loaded(pooled(*FLATTEN))))
    assert (net["pool"].domain, net["pool"].op_type) == ("kakuri", "SumPool")
    assert {name: item.value for name, item in net["pool"].attributes.items()} == {
        "kernel_shape": (2, 2),
        "strides": (2, 2),
        "pads": (0, 0, 0, 0),
    }
    np.testing.assert_array_equal(constant(net["fc"].inputs[1]), np.full((3, 4), 0.25))
    np.testing.assert_array_equal(constant(net["fc"].inputs[2]), np.ones(3))


def test_two_pools_in_a_row_fold_both_divisors():
    second = node("AveragePool", ["p"], "q", "pool2", kernel_shape=[1, 2])
    tail = (second, node("Flatten", ["q"], "f", "flat"), node("Gemm", ["f", "w", "bias"], "y", "fc", transB=1))
    net = by_name(fold_coefficients(loaded(pooled(*tail, constants={"w": np.ones((3, 2), np.float32)}))))
    assert [net[name].op_type for name in ("pool", "pool2")] == ["SumPool", "SumPool"]
    np.testing.assert_array_equal(constant(net["fc"].inputs[1]), np.full((3, 2), 1 / 8))


@pytest.mark.parametrize(
    ("reason", "proto"),
    [
        (
            "padding left out of the mean",
            pooled(
                *FLATTEN[1:],
                node("Flatten", ["p"], "f2", "flat"),
                outputs=["f2"],
                pads=[1, 1, 1, 1],
                constants={"f": np.ones((1, 4), np.float32)},
            ),
        ),
        ("read as an output", pooled(*FLATTEN, outputs=["y", "p"])),
        ("read by an activation too", pooled(*FLATTEN, node("Relu", ["p"], "r", "relu"), outputs=["y", "r"])),
        ("read by nothing linear", pooled(node("Tanh", ["p"], "y", "tanh"))),
    ],
)
def test_pools_that_cannot_fold_stay(reason, proto):
    net = by_name(fold_coefficients(loaded(proto)))
    assert net["pool"].op_type == "AveragePool", reason


def test_round_small_weights_values_and_count():
    weights = np.array([[0.0, -0.0, 5e-8, -5e-8], [1e-7, 1.0, -1.0, -2e-7]], np.float32)
    proto = model([node("Gemm", ["x", "w"], "y", "fc", transB=1)], {"x": [1, 4]}, ["y"], {"w": weights})
    net = loaded(proto)
    assert count_small_weights(net, 1e-7) == {"fc": int((np.abs(weights) < 1e-7).sum())}
    rounded = constant(next(iter(round_small_weights(net, 1e-7).graph)).inputs[1])
    edge = rounded[0, 0]
    assert 1e-7 <= edge < 1.00001e-7
    np.testing.assert_array_equal(rounded[0], [edge, edge, edge, -edge])
    np.testing.assert_array_equal(rounded[1, 1:], weights[1, 1:])
    assert count_small_weights(round_small_weights(net, 1e-7), 1e-7) == {}


def test_polynomials_written_by_hand_survive_folding_without_a_layer_before():
    net = loaded(model([node("Mul", ["x", "x"], "y", "act")], {"x": [1, 2]}, ["y"]))
    net = recognize_polynomial(net)
    next(iter(net.graph)).attributes.add(coefficients_attribute([1.0, 2.0, 3.0]))
    assert isinstance(net, ir.Model)
    assert coefficients_of(next(iter(fold_coefficients(net).graph))).tolist() == [1.0, 2.0, 3.0]
