"""Real files from the folder KAKURI_MODELS: each loads, or is refused with everything that stands in its way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.graph import static_shape
from kakuri.model.passes import (
    fold_batchnorm,
    fold_coefficients,
    normalize_linear,
    polynomial_activation,
    recognize_polynomial,
)

FOLDER = os.environ.get("KAKURI_MODELS")
pytestmark = [
    pytest.mark.needs_models,
    pytest.mark.skipif(FOLDER is None, reason="set KAKURI_MODELS to a folder with onnx/*.onnx"),
]

#: Nodes after loading; a change here means that loading changed.
LOADS = {
    "light_bvlc_alexnet": 22,
    "light_inception_v1": 142,
    "light_inception_v2": 371,
    "light_resnet50": 176,
    "light_squeezenet": 67,
    "light_vgg19": 44,
    "onnx2c_atmega_mnist": 5,
    "ultraface_rfb320_simplified": 110,
}


def path(name):
    return Path(FOLDER or "") / "onnx" / f"{name}.onnx"


@pytest.mark.parametrize("name", LOADS)
def test_loads(name):
    net = kk.load(path(name))
    assert len(net.graph) == LOADS[name]
    assert all(min(static_shape(value)) >= 1 for node in net.graph for value in node.outputs)


def test_control_flow_and_open_axes_are_named_together():
    with pytest.raises(KakuriError) as caught:
        kk.load(path("silero_vad_16k_op15"))
    assert sorted({problem.code for problem in caught.value.problems}) == ["KK-M05", "KK-M07"]
    assert [problem.where for problem in caught.value.problems if problem.code == "KK-M05"] == [
        "node '/model/decoder/If'",
        "node '/model/decoder/If_1'",
        "node '/model/If'",
    ]


@pytest.mark.parametrize("name", ["onnx2c_atmega_mnist", "ultraface_rfb320_simplified", "light_squeezenet"])
def test_passes_keep_the_function_of_real_networks(name):
    net = kk.load(path(name))
    x = np.random.default_rng(0).standard_normal(static_shape(net.graph.inputs[0])).astype(np.float32)
    names = [value.name for value in net.graph.outputs]
    expected = kk.model.reference_values(net, x, names)
    folded = fold_coefficients(recognize_polynomial(fold_batchnorm(normalize_linear(net))))
    for output, array in kk.model.reference_values(folded, x, names).items():
        np.testing.assert_allclose(array, expected[output], atol=1e-4 * max(1.0, float(np.abs(array).max())))


def test_a_residual_network_becomes_polynomial_throughout():
    net = recognize_polynomial(fold_batchnorm(normalize_linear(kk.load(path("light_resnet50")))))
    replaced = polynomial_activation(net)
    kinds = {node.op_type for node in replaced.graph}
    assert "BatchNormalization" not in kinds
    assert "Relu" not in kinds
    assert sum(node.op_type == "Polynomial" for node in replaced.graph) == 49
