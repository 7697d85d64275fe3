"""Convolutions with short sums, which have tiles of their own, and functions whose sizes are known at compilation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import kakuri as kk
from kakuri.codegen.kernels.chain import Chain
from kakuri.codegen.kernels.linear import SHORT_K, SHORT_W, Linear
from tests.unit.codegen.together import Together, assert_close
from tests.unit.model.builders import loaded, model

node = helper.make_node
TARGETS = ["x86-64-avx512", *(pytest.param(t, marks=pytest.mark.slow) for t in ("x86-64-avx2", "x86-64-sse2", "plain"))]


def convolution(inputs: int, outputs: int, kernel: int, width: int, *, stride: int = 1, joined: bool = False):
    """(network, input): ``joined`` adds the convolution's like and clamps."""
    random = np.random.default_rng(outputs)
    weights = {
        "w": random.standard_normal((outputs, inputs, kernel, kernel)).astype(np.float32),
        "b": random.standard_normal(outputs).astype(np.float32),
    }
    options = {"strides": [stride] * 2, "pads": [kernel // 2] * 4}
    nodes = [node("Conv", ["x", "w", "b"], ["c"], **options)]
    if joined:
        nodes += [
            node("Conv", ["x", "w"], ["d"], **options),
            node("Add", ["c", "d"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ]
    shape = (1, inputs, 9, width)
    proto = model(nodes, {"x": shape}, ["y" if joined else "c"], weights)
    return proto, random.standard_normal(shape).astype(np.float32)


def is_short(proto: onnx.ModelProto) -> bool:
    found = [
        stage
        for operation in kk.codegen.plan(loaded(proto)).program.operations
        for stage in (operation.stages if isinstance(operation, Chain) else (operation,))
        if isinstance(stage, Linear)
    ]
    assert len({item.short for item in found}) == 1
    return found[0].short


@pytest.mark.parametrize("target", TARGETS)
def test_every_way_in_which_channels_fill_vectors(target: str, tmp_path: Path) -> None:
    together = Together()
    for outputs in (1, 6, 8, 16, 17, 24, 32, 33, 40, 56, 64, 96, 100):
        for width, stride, joined in ((SHORT_W, 1, False), (15, 1, True), (29, 2, True), (30, 1, False)):
            proto, x = convolution(2, outputs, 3, width, stride=stride, joined=joined)
            assert is_short(proto)
            together.add(proto, {"x": x})
    assert_close(together.check(tmp_path, target), 1e-5)


@pytest.mark.parametrize(("inputs", "kernel", "width"), [(SHORT_K + 1, 1, 30), (8, 3, 30), (3, 1, SHORT_W - 1)])
def test_others_are_not_short(inputs: int, kernel: int, width: int) -> None:
    assert not is_short(convolution(inputs, 8, kernel, width)[0])


def test_tanh(tmp_path: Path) -> None:
    """Within 6 units in the last place, never beyond 1, and what is not a number stays so."""
    random = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-12, 12, 100_000), random.standard_normal(10_000) * 1e-3, [1e-30, 0, -0.0, 1e30]])
    x = np.concatenate([x, [np.inf, -np.inf, np.nan]]).astype(np.float32)
    proto = model([node("Tanh", ["x"], ["y"])], {"x": x.shape}, ["y"], {})
    got = kk.codegen.plan(loaded(proto), target="x86-64-avx512").build(tmp_path).run(x)[0]
    exact = np.tanh(x.astype(np.float64))
    assert np.isnan(got[-1])
    assert np.abs(got[:-1]).max() == 1
    units = np.abs(got[:-1] - exact[:-1]) / np.spacing(np.abs(exact[:-1]).astype(np.float32))
    assert units.max() < 6
