"""Networks in float64: the same functions as in ONNX Runtime, with less rounding."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from kakuri.bench.exact import exact_outputs
from kakuri.codegen.reference import outputs_of
from tests.unit.model.builders import loaded, model

node = helper.make_node


@pytest.mark.parametrize(("group", "axes"), [(1, 2), (3, 2), (6, 2), (2, 1)])
def test_convolutions(group: int, axes: int) -> None:
    random = np.random.default_rng(group)
    weights = {
        "w": random.standard_normal((6, 6 // group, *[3] * axes)).astype(np.float32),
        "b": random.standard_normal(6).astype(np.float32),
    }
    window = {"strides": [2, 1][:axes], "dilations": [1, 2][:axes], "pads": [1, 2, 0, 1][: 2 * axes]}
    nodes = [node("Conv", ["x", "w", "b"], ["c"], group=group, **window), node("Sigmoid", ["c"], ["y"])]
    shape = (1, 6, *[9, 8][:axes])
    net, x = loaded(model(nodes, {"x": shape}, ["y"], weights)), random.standard_normal(shape).astype(np.float32)
    (exact,), (near,) = exact_outputs(net, {"x": x}), outputs_of(net, {"x": x}, ["y"])
    assert exact.dtype == np.float64
    np.testing.assert_allclose(near, exact, rtol=0, atol=1e-6)
    assert not np.array_equal(near, exact)
