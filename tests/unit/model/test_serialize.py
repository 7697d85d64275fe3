"""Saving and packaging."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import helper

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model import from_bytes, reference_outputs, save, to_bytes
from kakuri.model.passes import fold_coefficients, normalize_linear, polynomial_activation, recognize_polynomial
from tests.unit.model.builders import loaded, model, run
from tests.unit.model.networks import networks, sample


def prepared(proto):
    return fold_coefficients(polynomial_activation(recognize_polynomial(normalize_linear(loaded(proto)))))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_bytes_are_lossless_and_deterministic(proto):
    net = prepared(proto)
    data = to_bytes(net)
    again = from_bytes(data)
    assert to_bytes(again) == data
    assert to_bytes(prepared(proto)) == data
    described = [[(n.domain, n.op_type, n.name, sorted(n.attributes)) for n in one.graph] for one in (net, again)]
    assert described[0] == described[1]
    x = sample(proto)
    np.testing.assert_array_equal(reference_outputs(again, x), reference_outputs(net, x))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(proto=networks())
def test_saved_files_are_standard_onnx(tmp_path_factory, proto):
    path = tmp_path_factory.mktemp("save") / "net.onnx"
    net = prepared(proto)
    save(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    x = sample(proto)
    np.testing.assert_allclose(run(onnx.load(path), x), reference_outputs(net, x), rtol=1e-4, atol=1e-5)
    assert [n.name for n in kk.load(path).graph if n.op_type == "Conv"] == [
        n.name for n in net.graph if n.op_type == "Conv"
    ]


def polynomial_net():
    net = recognize_polynomial(
        loaded(model([helper.make_node("Mul", ["x", "x"], ["y"], name="sq")], {"x": [1, 2]}, ["y"]))
    )
    net.metadata_props["kakuri.preprocessing"] = "{}"
    return net


def test_the_order_of_weights_and_attributes_does_not_matter():
    weights = {"a": np.ones((2, 2), np.float32), "b": np.zeros(2, np.float32)}
    gemm = helper.make_node("Gemm", ["x", "a", "b"], ["y"], name="fc", transB=1, alpha=0.5)
    proto = model([gemm], {"x": [1, 2]}, ["y"], weights)
    proto.metadata_props.add(key="first", value="1")
    proto.metadata_props.add(key="second", value="2")
    data = to_bytes(loaded(proto))
    for entries in (proto.graph.initializer, proto.graph.node[0].attribute, proto.metadata_props):
        reordered = list(entries)[::-1]
        del entries[:]
        entries.extend(reordered)
    assert to_bytes(loaded(proto)) == data


def test_metadata_travels():
    assert dict(from_bytes(to_bytes(polynomial_net())).metadata_props) == {"kakuri.preprocessing": "{}"}


def test_a_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(KakuriError) as caught:
        save(polynomial_net(), tmp_path / "absent" / "net.onnx")
    assert caught.value.code == "KK-F10"
    assert list(tmp_path.iterdir()) == []


def coefficients(proto, array):
    attribute = helper.make_attribute("coefficients", onnx.numpy_helper.from_array(np.asarray(array)))
    del proto.graph.node[0].attribute[:]
    proto.graph.node[0].attribute.append(attribute)


MALFORMED = {
    "no coefficients": lambda p: p.graph.node[0].attribute.pop(),
    "float32 coefficients": lambda p: coefficients(p, np.ones(3, np.float32)),
    "a matrix": lambda p: coefficients(p, np.ones((2, 2))),
    "degree 0": lambda p: coefficients(p, np.ones(1)),
    "degree 65": lambda p: coefficients(p, np.ones(66)),
    "leading zero": lambda p: coefficients(p, np.array([1.0, 0.0])),
    "not finite": lambda p: coefficients(p, np.array([np.nan, 1.0])),
    "another attribute": lambda p: p.graph.node[0].attribute.append(helper.make_attribute("more", [1])),
    "unknown operator": lambda p: setattr(p.graph.node[0], "op_type", "Exec"),
    "two inputs": lambda p: p.graph.node[0].input.append("x"),
    "two outputs": lambda p: p.graph.node[0].output.append("z"),
    "no input": lambda p: p.graph.node[0].ClearField("input"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_own_operators_are_refused(case):
    proto = onnx.load_model_from_string(to_bytes(polynomial_net()))
    MALFORMED[case](proto)
    with pytest.raises(KakuriError) as caught:
        from_bytes(proto.SerializeToString())
    assert caught.value.code in ("KK-M08", "KK-M09")


NOT_PACKAGED = {
    "another opset": lambda p: setattr(p.opset_import[0], "version", 18),
    "an open axis": lambda p: setattr(p.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "N"),
    "no node name": lambda p: setattr(p.graph.node[0], "name", ""),
}


@pytest.mark.parametrize("case", NOT_PACKAGED)
def test_models_that_no_package_holds_are_refused(case):
    proto = onnx.load_model_from_string(to_bytes(polynomial_net()))
    NOT_PACKAGED[case](proto)
    with pytest.raises(KakuriError):
        from_bytes(proto.SerializeToString())


def test_declared_shapes_are_not_believed():
    proto = onnx.load_model_from_string(to_bytes(polynomial_net()))
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40
    assert list(from_bytes(proto.SerializeToString()).graph.outputs[0].shape) == [1, 2]
