"""Replacement of activations, with the runtime's own operators as the definition of each function."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from kakuri.errors import KakuriError
from kakuri.model import calibrate, document_activation, reference_outputs
from kakuri.model.activations import find_activations
from kakuri.model.custom_ops import coefficients_of, is_polynomial
from kakuri.model.passes import PolynomialActivation, polynomial_activation
from kakuri.model.polynomials import fit
from tests.unit.model.builders import loaded, model, run

CONSTANTS = {"zero": np.float32(0), "six": np.float32(6)}
FUNCTIONS = {
    "Relu": ("Relu", ["x"], {}),
    "LeakyRelu": ("LeakyRelu", ["x"], {"alpha": 0.2}),
    "Sigmoid": ("Sigmoid", ["x"], {}),
    "Tanh": ("Tanh", ["x"], {}),
    "relu6": ("Clip", ["x", "zero", "six"], {}),
    "Clip below": ("Clip", ["x", "zero"], {}),
    "Clip above": ("Clip", ["x", "", "six"], {}),
    "Elu": ("Elu", ["x"], {"alpha": 0.7}),
    "Celu": ("Celu", ["x"], {"alpha": 0.7}),
    "Selu": ("Selu", ["x"], {}),
    "HardSigmoid": ("HardSigmoid", ["x"], {}),
    "HardSwish": ("HardSwish", ["x"], {}),
    "Mish": ("Mish", ["x"], {}),
    "Gelu": ("Gelu", ["x"], {}),
    "Gelu tanh": ("Gelu", ["x"], {"approximate": "tanh"}),
    "Softplus": ("Softplus", ["x"], {}),
    "Softsign": ("Softsign", ["x"], {}),
}


def single(op, inputs, attributes, width=401):
    return model([helper.make_node(op, inputs, ["y"], name="act", **attributes)], {"x": [1, width]}, ["y"], CONSTANTS)


@pytest.mark.parametrize("case", FUNCTIONS)
def test_the_function_is_the_runtimes(case):
    proto = single(*FUNCTIONS[case])
    x = np.linspace(-8, 8, 401).reshape(1, -1)
    (found,) = find_activations(loaded(proto))
    np.testing.assert_allclose(found.function(x), run(proto, x.astype(np.float32)), atol=3e-6)


@pytest.mark.parametrize("case", FUNCTIONS)
def test_it_becomes_one_polynomial_with_its_name(case):
    net = polynomial_activation(loaded(single(*FUNCTIONS[case])))
    (node,) = net.graph
    assert (node.name, node.op_type, node.domain, node.outputs[0].name) == ("act", "Polynomial", "kakuri", "y")


def swish(first, second):
    gate = helper.make_node("Sigmoid", ["x"], ["s"], name="gate")
    names = {"x": "x", "s": "s"}
    return model(
        [gate, helper.make_node("Mul", [names[first], names[second]], ["y"], name="act")], {"x": [1, 4]}, ["y"]
    )


@pytest.mark.parametrize("order", ["xs", "sx"])
def test_both_spellings_of_swish_are_the_documents_polynomial(order):
    net = polynomial_activation(loaded(swish(*order)), PolynomialActivation(degree=2, radius=5.0))
    (node,) = net.graph
    np.testing.assert_allclose(coefficients_of(node), document_activation("swish-rg5-deg2"), rtol=1e-13)


def test_onnx_swish_operator_of_a_newer_opset():
    node = helper.make_node("Swish", ["x"], ["y"], name="act")
    net = polynomial_activation(loaded(model([node], {"x": [1, 4]}, ["y"], opset=24)), PolynomialActivation(4, 7.0))
    np.testing.assert_allclose(coefficients_of(next(iter(net.graph))), document_activation("swish-rg7-deg4"))


def test_a_sigmoid_that_is_also_read_alone_becomes_its_own_polynomial():
    proto = swish("x", "s")
    proto.graph.output.append(helper.make_tensor_value_info("s", 1, None))
    net = polynomial_activation(loaded(proto))
    assert sorted(node.name for node in net.graph if is_polynomial(node)) == ["act", "gate"]


def two_relus():
    return loaded(
        model(
            [
                helper.make_node("Relu", ["x"], ["h"], name="act1"),
                helper.make_node("Mul", ["h", "two"], ["g"], name="scale"),
                helper.make_node("Relu", ["g"], ["y"], name="act2"),
            ],
            {"x": [1, 4]},
            ["y"],
            {"two": np.float32(2)},
        )
    )


def test_an_activation_of_an_activation():
    nodes = [
        helper.make_node("Relu", ["x"], ["h"], name="act1"),
        helper.make_node("Tanh", ["h"], ["y"], name="act2"),
    ]
    net = polynomial_activation(loaded(model(nodes, {"x": [1, 4]}, ["y"])))
    assert [(node.name, node.inputs[0].name) for node in net.graph] == [("act1", "x"), ("act2", "h")]
    x = np.array([[-1.0, 0.5, 1.0, 2.0]])
    inner = np.polynomial.polynomial.polyval(x, document_activation("relu-rg7-deg4"))
    expected = np.polynomial.polynomial.polyval(inner, fit(np.tanh, 4, 7.0))
    np.testing.assert_allclose(reference_outputs(net, x), expected, atol=1e-5)


def test_a_constant_activation_is_refused_by_name():
    net = loaded(
        model([helper.make_node("Clip", ["x", "six", "six"], ["y"], name="act")], {"x": [1, 4]}, ["y"], CONSTANTS)
    )
    with pytest.raises(KakuriError) as caught:
        polynomial_activation(net)
    assert (caught.value.code, caught.value.problem.where) == ("KK-M25", "act")


def coefficients(net):
    return {node.name: coefficients_of(node) for node in net.graph if is_polynomial(node)}


def test_default_is_the_documents_degree_four_on_seven():
    np.testing.assert_allclose(
        coefficients(polynomial_activation(two_relus()))["act1"], document_activation("relu-rg7-deg4")
    )


def test_radius_comes_from_the_node_then_from_the_range_then_from_the_default():
    net = two_relus()
    ranges = calibrate(net, np.array([[-5.0, 1.0, 2.0, 2.5]]))
    assert ranges == {"x": (-5.0, 2.5), "g": (0.0, 5.0)}
    got = coefficients(polynomial_activation(net, PolynomialActivation(degree=2, ranges=ranges, radii={"act2": 7.0})))
    np.testing.assert_allclose(got["act1"], document_activation("relu-rg5-deg2"))
    np.testing.assert_allclose(got["act2"], document_activation("relu-rg7-deg2"))


def test_margin_widens_a_calibrated_range():
    settings = PolynomialActivation(degree=2, ranges={"x": (-1.0, 3.5)}, margin=2.0)
    got = coefficients(polynomial_activation(two_relus(), settings))
    np.testing.assert_allclose(got["act1"], document_activation("relu-rg7-deg2"))


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (PolynomialActivation(degree=0), "KK-M20"),
        (PolynomialActivation(degree=65), "KK-M20"),
        (PolynomialActivation(radius=0.0), "KK-M20"),
        (PolynomialActivation(margin=0.0), "KK-M20"),
        (PolynomialActivation(radii={"act3": 1.0}), "KK-M22"),
    ],
)
def test_unusable_settings(settings, code):
    with pytest.raises(KakuriError) as caught:
        polynomial_activation(two_relus(), settings)
    assert caught.value.code == code
