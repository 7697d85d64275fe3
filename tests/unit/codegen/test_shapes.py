"""Convolutions, pools, products and joins over arbitrary shapes, against ONNX Runtime; many per program."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.unit.codegen.together import Together, assert_close
from tests.unit.model.builders import model

node = helper.make_node
# One example is a program of many networks; making it smaller means compiling many programs, so it is left as it is.
COMMON = settings(phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(COMMON, max_examples=3, derandomize=True)
MANY = settings(COMMON, max_examples=15)
TARGETS = ["x86-64-avx512", "x86-64-avx2", "x86-64-sse2", "plain"]


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Convolution, then perhaps a sum with its input's like and a clamp."""
    axes = draw(st.sampled_from([1, 2, 2, 2]))
    kind = draw(st.sampled_from(["dense", "dense", "depthwise", "grouped"]))
    group = {"dense": 1, "depthwise": draw(st.integers(1, 40)), "grouped": draw(st.integers(2, 3))}[kind]
    inputs = group * (1 if kind == "depthwise" else draw(st.integers(1, 20)))
    outputs = group * (1 if kind == "depthwise" else draw(st.integers(1, 70)))
    kernel = [draw(st.integers(1, 5)) for _ in range(axes)]
    strides = [draw(st.integers(1, 3)) for _ in range(axes)]
    dilations = [draw(st.sampled_from([1, 1, 2])) for _ in range(axes)]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * axes)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    size = [draw(st.integers(max(1, r - pads[i] - pads[axes + i]), r + 15)) for i, r in enumerate(reach)]
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    weights = {
        "w": random.standard_normal((outputs, inputs // group, *kernel)).astype(np.float32),
        "b": random.standard_normal(outputs).astype(np.float32),
    }
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], group=group, strides=strides, dilations=dilations, pads=pads),
        node("Conv", ["x", "w"], ["d"], group=group, strides=strides, dilations=dilations, pads=pads),
        node("Add", ["c", "d"], ["s"]),
        node("Relu", ["s"], ["y"]),
    ]
    keep = draw(st.booleans())
    proto = model(nodes if keep else nodes[:1], {"x": [1, inputs, *size]}, ["y" if keep else "c"], weights)
    return proto, (1, inputs, *size)


@st.composite
def pools(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    pads = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    shape = (1, draw(st.integers(1, 40)), *(draw(st.integers(k, 12)) for k in kernel))
    settings_ = {
        "kernel_shape": kernel,
        "pads": pads,
        "strides": [draw(st.integers(1, 3)) for _ in range(2)],
        "ceil_mode": draw(st.integers(0, 1)),
    }
    operator = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    return model([node(operator, ["x"], ["y"], **settings_)], {"x": shape}, ["y"]), shape


@st.composite
def products(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    lead = [draw(st.integers(1, 5)) for _ in range(draw(st.integers(0, 2)))]
    rows, inner, columns = draw(st.integers(1, 30)), draw(st.integers(1, 50)), draw(st.integers(1, 90))
    random = np.random.default_rng(inner)
    constants = {
        "w": random.standard_normal((inner, columns)).astype(np.float32),
        "b": random.standard_normal(columns).astype(np.float32),
    }
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])]
    return model(nodes, {"x": [*lead, rows, inner]}, ["y"], constants), (*lead, rows, inner)


@st.composite
def joins(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Branches joined along an axis, one of them read again, the join padded by the convolution after it."""
    channels, size = draw(st.integers(1, 20)), draw(st.integers(3, 9))
    axis = draw(st.sampled_from([1, 1, 2, 3]))
    random = np.random.default_rng(channels)
    joined = 3 * channels if axis == 1 else channels
    constants = {
        "w": random.standard_normal((channels, channels, 1, 1)).astype(np.float32),
        "v": random.standard_normal((5, joined, 3, 3)).astype(np.float32),
    }
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Sigmoid", ["a"], ["b"]),
        node("Concat", ["a", "x", "b"], ["j"], axis=axis),
        node("Relu", ["j"], ["r"]),
        node("Conv", ["r", "v"], ["y"], pads=[1, 1, 1, 1]),
        node("Mul", ["a", "b"], ["z"]),
        node("Transpose", ["y"], ["t"], perm=[0, 2, 3, 1]),
        node("Slice", ["t", "one", "end", "axes", "two"], ["u"]),
        node("Reshape", ["u", "flat"], ["v1"]),
    ]
    constants |= {"one": np.array([1]), "end": np.array([99]), "axes": np.array([1]), "two": np.array([2])}
    constants["flat"] = np.array([1, -1])
    shape = (1, channels, size, size)
    return model(nodes, {"x": shape}, ["v1", "z"], constants), shape


def _check(cases: list[tuple[onnx.ModelProto, tuple[int, ...]]], target: str) -> None:
    together = Together()
    for proto, shape in cases:
        random = np.random.default_rng(together.count)
        together.add(proto, {"x": random.standard_normal(shape).astype(np.float32)})
    with tempfile.TemporaryDirectory() as folder:
        assert_close(together.check(Path(folder), target), 1e-5)


def several(size: int) -> st.SearchStrategy[list[tuple[onnx.ModelProto, tuple[int, ...]]]]:
    kinds = [st.lists(kind(), min_size=size, max_size=size) for kind in (convolutions, pools, products, joins)]
    return st.tuples(*kinds).map(lambda lists: [case for items in lists for case in items])


@FEW
@given(cases=several(4))
def test_shapes(cases: list[tuple[onnx.ModelProto, tuple[int, ...]]]) -> None:
    _check(cases, "x86-64-avx512")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@MANY
@given(cases=several(20))
def test_shapes_at_length(target: str, cases: list[tuple[onnx.ModelProto, tuple[int, ...]]]) -> None:
    _check(cases, target)


@pytest.mark.parametrize(
    "target", [TARGETS[0], *(pytest.param(target, marks=pytest.mark.slow) for target in TARGETS[1:])]
)
def test_the_largest_of_bytes(target: str, tmp_path: Path) -> None:
    """Every way in which channels fill vectors, with windows that the border cuts, also where they begin beyond it."""
    together, random = Together(), np.random.default_rng(0)
    for channels in (1, 15, 16, 20, 64, 70, 150):
        for pads, dilation in (([0, 0, 0, 0], 1), ([1, 2, 2, 1], 1), ([2, 2, 1, 2], 2)):
            window = {"kernel_shape": [3, 3], "pads": pads, "strides": [2, 1], "dilations": [dilation] * 2}
            proto = model([node("MaxPool", ["x"], ["y"], **window)], {}, [])
            kind, shape = onnx.TensorProto.UINT8, [1, channels, 7, 6]
            proto.graph.input.append(helper.make_tensor_value_info("x", kind, shape))
            proto.graph.output.append(helper.make_tensor_value_info("y", kind, None))
            together.add(proto, {"x": random.integers(0, 256, shape).astype(np.uint8)})
    assert together.check(tmp_path, target).worst.absolute == 0
