"""Properties of the passes on random networks: same function, postconditions, untouched argument."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import helper

from kakuri.model import reference_outputs, to_bytes
from kakuri.model.custom_ops import coefficients_of, is_polynomial, is_sum_pool
from kakuri.model.graph import constant, is_exclusive, is_op, static_shape
from kakuri.model.passes import (
    expand_polynomial,
    fold_batchnorm,
    fold_coefficients,
    fold_constants,
    normalize_linear,
    recognize_polynomial,
    remove_identities,
    round_small_weights,
)
from tests.unit.model.builders import loaded, model, run
from tests.unit.model.networks import networks, sample

PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

EXACT_PASSES = {
    "expand_polynomial": (expand_polynomial,),
    "fold_batchnorm": (fold_batchnorm,),
    "fold_coefficients": (recognize_polynomial, fold_coefficients),
    "fold_constants": (fold_constants,),
    "normalize_linear": (normalize_linear,),
    "recognize_polynomial": (recognize_polynomial,),
    "remove_identities": (remove_identities,),
    "recognize then expand": (recognize_polynomial, expand_polynomial),
    "all, as encrypted plans": (normalize_linear, fold_batchnorm, recognize_polynomial, fold_coefficients),
    "all, batch norm first": (fold_batchnorm, normalize_linear, recognize_polynomial, fold_coefficients),
}


def close(got, expected):
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4 * scale)


@PROPERTY
@given(networks())
def test_loading_keeps_the_function(proto):
    x = sample(proto)
    close(reference_outputs(loaded(proto), x), run(proto, x))


@pytest.mark.parametrize("passes", EXACT_PASSES.values(), ids=EXACT_PASSES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(proto=networks())
def test_a_pass_keeps_the_function_and_its_argument(passes, proto):
    x = sample(proto)
    expected = run(proto, x)
    net = loaded(proto)
    for one_pass in passes:
        before = to_bytes(net)
        result = one_pass(net)
        assert to_bytes(net) == before
        net = result
    close(reference_outputs(net, x), expected)
    check_shapes(net)


def check_shapes(net):
    """Every declared shape is the one that inference finds again, and names are unique."""
    declared = {value.name: static_shape(value) for node in net.graph for value in node.outputs}
    again = fold_constants(net)
    assert {value.name: static_shape(value) for node in again.graph for value in node.outputs} == declared
    names = [node.name for node in net.graph]
    assert all(names)
    assert len(set(names)) == len(names)


@PROPERTY
@given(networks())
def test_fold_batchnorm_postcondition(proto):
    net = fold_batchnorm(loaded(proto))
    for node in net.graph:
        if is_op(node, "BatchNormalization"):
            source = node.inputs[0]
            assert not (is_exclusive(source) and is_op(source.producer(), "Conv", "Gemm"))


def test_batch_norm_without_a_square_root_stays():
    """A variance below -epsilon has no root; folding must not hide that."""
    ones = {name: np.ones(1, np.float32) for name in "gbm"}
    constants = {**ones, "v": -np.ones(1, np.float32), "w": np.ones((1, 1, 1, 1), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], name="bn"),
    ]
    net = fold_batchnorm(loaded(model(nodes, {"x": [1, 1, 2, 2]}, ["y"], constants)))
    assert [node.name for node in net.graph] == ["conv", "bn"]


@PROPERTY
@given(networks())
def test_normalize_linear_postcondition(proto):
    net = normalize_linear(loaded(proto))
    for node in net.graph:
        assert not is_op(node, "GlobalAveragePool", "ReduceMean", "MatMul", "Squeeze", "Reshape")
        assert "auto_pad" not in node.attributes
        if is_op(node, "Conv", "AveragePool"):
            assert {"kernel_shape", "strides", "pads", "dilations"} <= set(node.attributes)
        if is_op(node, "Gemm"):
            flags = {name: node.attributes[name].value for name in ("transA", "transB", "alpha", "beta")}
            assert flags == {"transA": 0, "transB": 1, "alpha": 1.0, "beta": 1.0}
            assert constant(node.inputs[1]).shape[0] == 3
            assert len(node.inputs) == 2 or constant(node.inputs[2]).shape == (3,)


@PROPERTY
@given(networks())
def test_recognize_leaves_no_polynomial_arithmetic_outside(proto):
    net = recognize_polynomial(loaded(proto))
    for node in net.graph:
        if is_op(node, "Mul", "Pow", "Sub"):  # only Sigmoid gates and products of different values stay
            assert is_op(node, "Mul")
            assert node.inputs[0] is not node.inputs[1]


@PROPERTY
@given(networks())
def test_recognize_after_expand_is_the_identity(proto):
    net = recognize_polynomial(loaded(proto))
    again = recognize_polynomial(expand_polynomial(net))
    described = [
        [
            (node.name, node.op_type, [value.name for value in node.inputs[:1]], [value.name for value in node.outputs])
            for node in one.graph
        ]
        for one in (net, again)
    ]
    assert described[0] == described[1]
    for first, second in zip(net.graph, again.graph, strict=True):
        if is_polynomial(first):
            rounded = coefficients_of(first).astype(np.float32)
            np.testing.assert_array_equal(coefficients_of(second), rounded.astype(np.float64))


@PROPERTY
@given(networks())
def test_fold_coefficients_postcondition(proto):
    net = fold_coefficients(recognize_polynomial(fold_batchnorm(normalize_linear(loaded(proto)))))
    for node in net.graph:
        source = node.inputs[0]
        if is_polynomial(node) and is_exclusive(source) and is_op(source.producer(), "Conv", "Gemm"):
            assert abs(coefficients_of(node)[-1]) == 1.0
        if is_op(node, "AveragePool"):
            pads, counted = node.attributes["pads"].value, node.attributes.get("count_include_pad")
            skips_padding = any(pads) and not (counted is not None and counted.value)
            assert skips_padding or not only_reaches_layers(node.outputs[0])


def only_reaches_layers(value):
    """Written as recursion on consumers, unlike the pass."""
    if value.is_graph_output():
        return False
    return all(
        is_op(node, "Conv", "Gemm")
        or ((is_op(node, "Flatten", "AveragePool") or is_sum_pool(node)) and only_reaches_layers(node.outputs[0]))
        for node in value.consumers()
    )


@PROPERTY
@given(networks())
def test_round_small_weights_postcondition(proto):
    net = loaded(proto)
    rounded = round_small_weights(net, epsilon=0.05)
    for before, after in zip(net.graph, rounded.graph, strict=True):
        if is_op(before, "Conv", "Gemm"):
            old, new = constant(before.inputs[1]), constant(after.inputs[1])
            assert (np.abs(new) >= np.float32(0.05)).all()
            large = np.abs(old) >= 0.05
            np.testing.assert_array_equal(new[large], old[large])
            assert (np.sign(new[~large]) == np.where(old[~large] < 0, -1, 1)).all()
