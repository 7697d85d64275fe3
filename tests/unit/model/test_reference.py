"""The oracle: a batch of samples through ONNX Runtime, and values inside the network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model import calibrate, reference_outputs, reference_values
from kakuri.model.passes import recognize_polynomial
from tests.unit.model.builders import loaded, model

W = np.array([[1.0, -2.0], [0.5, 0.25], [3.0, 0.0]], np.float32)


@pytest.fixture
def net():
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], name="fc", transB=1),
        helper.make_node("Mul", ["h", "h"], ["s"], name="square"),
        helper.make_node("Relu", ["s"], ["y"], name="relu"),
    ]
    return recognize_polynomial(loaded(model(nodes, {"x": ["N", 2]}, ["y"], {"w": W})))


BATCH = np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0], [4.0, -3.0], [0.1, 0.2]])


def test_outputs_for_a_batch(net):
    np.testing.assert_allclose(reference_outputs(net, BATCH), np.square(BATCH @ W.T), rtol=1e-5)


def test_values_inside_and_inputs(net):
    values = reference_values(net, BATCH, ["h", "s", "x"])
    np.testing.assert_allclose(values["h"], BATCH @ W.T, rtol=1e-5)
    np.testing.assert_allclose(values["s"], np.square(BATCH @ W.T), rtol=1e-5)
    np.testing.assert_allclose(values["x"], BATCH, rtol=1e-6)


def test_calibrate_covers_polynomials_and_activations(net):
    h = BATCH @ W.T
    assert calibrate(net, BATCH) == {
        "h": pytest.approx((h.min(), h.max())),
        "s": pytest.approx((0.0, np.square(h).max())),
    }


def test_calibrate_without_activations():
    plain = loaded(model([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], {"x": [1, 2]}, ["y"], {"w": W}))
    assert calibrate(plain, BATCH) == {}


@pytest.mark.parametrize("shape", [(2,), (0, 2), (5, 3), (5, 2, 1)])
def test_wrong_shapes_name_both(net, shape):
    with pytest.raises(KakuriError) as caught:
        reference_outputs(net, np.zeros(shape))
    assert caught.value.code == "KK-M15"
    assert (caught.value.problem.got, caught.value.problem.limit) == (str(shape), "('B', 2)")


def test_unknown_value(net):
    with pytest.raises(KakuriError) as caught:
        reference_values(net, BATCH, ["nowhere"])
    assert caught.value.code == "KK-M14"


def test_several_outputs_need_names():
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    two = loaded(model(nodes, {"x": [1, 2]}, ["y", "z"]))
    with pytest.raises(KakuriError) as caught:
        reference_outputs(two, BATCH)
    assert caught.value.code == "KK-M16"
    np.testing.assert_allclose(reference_values(two, BATCH, ["z"])["z"], -BATCH, rtol=1e-6)


def test_one_place_imports_onnxruntime_and_switches_its_telemetry_off():
    source = Path(kk.__file__).parent
    importers = [
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"^\s*(import onnxruntime|from onnxruntime)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(importers) == ["bench/peers/inference.py", "model/runtime.py"]  # the peer is measured as it comes
