"""Layers that run row by row together, against ONNX Runtime; so little room that every chain takes several blocks."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import helper

import kakuri as kk
from kakuri.codegen import lower
from kakuri.codegen.fuse import Cache, fuse
from kakuri.codegen.kernels.chain import Chain
from tests.unit.codegen.together import Together, assert_close
from tests.unit.model.builders import loaded, model

node = helper.make_node
TIGHT = Cache(room_bytes=4096, smallest_bytes=0, reread=float("inf"))
Case = tuple[onnx.ModelProto, tuple[int, ...]]


@st.composite
def towers(draw: st.DrawFn) -> Case:
    """Two to five convolutions one after another, dense and depthwise, with clamps; sometimes a sum at the end."""
    channels, size = draw(st.integers(1, 20)), [draw(st.integers(9, 24)), draw(st.integers(9, 24))]
    shape = (1, channels, *size)
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    nodes, weights, value = [], {}, "x"
    for layer in range(draw(st.integers(2, 5))):
        depthwise = channels > 1 and draw(st.booleans())
        outputs = channels if depthwise else draw(st.integers(1, 40))
        kernel = [draw(st.sampled_from([1, 3, 5] if depthwise else [1, 1, 3])) for _ in size]
        dilations = [draw(st.sampled_from([1, 1, 1, 2])) for _ in size]
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        pads = [draw(st.integers(0, r - 1)) for r in reach * 2]
        room = [size[i] + pads[i] + pads[i + 2] - reach[i] for i in range(2)]
        if min(room) < 0:
            break
        strides = [draw(st.integers(1, 2)) if left > 8 else 1 for left in room]
        size = [left // s + 1 for left, s in zip(room, strides, strict=True)]
        fan_in = 1 if depthwise else channels
        weights[f"w{layer}"] = random.standard_normal((outputs, fan_in, *kernel)).astype(np.float32) / np.sqrt(
            fan_in * kernel[0] * kernel[1], dtype=np.float32
        )
        weights[f"b{layer}"] = random.standard_normal(outputs).astype(np.float32)
        group = channels if depthwise else 1
        names = [value, f"w{layer}", f"b{layer}"]
        window = {"strides": strides, "dilations": dilations, "pads": pads}
        nodes += [node("Conv", names, [f"c{layer}"], group=group, **window), node("Relu", [f"c{layer}"], [f"r{layer}"])]
        channels, value = outputs, f"r{layer}"
    weights |= {"one": np.ones((channels, channels, 1, 1), np.float32)}
    nodes += [node("Conv", [value, "one"], ["last"])]
    if draw(st.booleans()):
        nodes[-1:] = [node("Abs", [value], ["kept"]), node("Conv", ["kept", "one"], ["s"])]
        nodes += [node("Add", ["s", "kept"], ["last"])]
    return model(nodes, {"x": shape}, ["last"], weights), shape


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower, "fuse", functools.partial(fuse, cache=TIGHT))


def _together(cases: list[Case]) -> Together:
    together = Together()
    for proto, shape in cases:
        random = np.random.default_rng(together.count)
        together.add(proto, {"x": random.standard_normal(shape).astype(np.float32)})
    return together


@pytest.mark.usefixtures("tight")
@settings(
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=2,
    derandomize=True,
)
@given(cases=st.lists(towers(), min_size=12, max_size=12))
def test_rolling_rows(tmp_path_factory: pytest.TempPathFactory, cases: list[Case]) -> None:
    assert_close(_together(cases).check(tmp_path_factory.mktemp("chains"), "x86-64-avx512"), 1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("target", ["x86-64-avx512", "x86-64-avx2", "x86-64-sse2", "plain"])
@settings(phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck), max_examples=5)
@given(cases=st.lists(towers(), min_size=30, max_size=30))
def test_rolling_rows_at_length(tmp_path_factory: pytest.TempPathFactory, target: str, cases: list[Case]) -> None:
    assert_close(_together(cases).check(tmp_path_factory.mktemp("chains"), target), 1e-5)


def _bottleneck() -> onnx.ModelProto:
    """Pointwise, depthwise, pointwise, with the input added: 96 channels of 56 x 56 between."""
    random = np.random.default_rng(0)
    shapes = {"w": (96, 16, 1, 1), "d": (96, 1, 3, 3), "v": (16, 96, 1, 1)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "d"], ["c"], group=96, pads=[1, 1, 1, 1]),
        node("Conv", ["c", "v"], ["e"]),
        node("Add", ["e", "x"], ["y"]),
    ]
    return model(nodes, {"x": [1, 16, 56, 56]}, ["y"], weights)


def test_the_maps_between_need_no_memory_of_their_own() -> None:
    program = kk.codegen.plan(loaded(_bottleneck()), target="x86-64-avx512").program
    (chain,) = [item for item in program.operations if isinstance(item, Chain)]
    assert len(chain.stages) == 4  # the first one puts the channels of the input last
    assert chain.block < 56
    whole_bytes = 96 * 56 * 56 * 4
    assert program.arena_bytes < whole_bytes
    assert chain.scratch_bytes <= chain.room_bytes


def test_chains_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = loaded(_bottleneck())
    x = np.random.default_rng(1).standard_normal((1, 16, 56, 56)).astype(np.float32)
    (together,) = kk.codegen.plan(net, target="x86-64-avx2").build(tmp_path / "together").run(x)
    monkeypatch.setattr(lower, "fuse", list)
    plan = kk.codegen.plan(net, target="x86-64-avx2")
    assert not any(isinstance(item, Chain) for item in plan.program.operations)
    (apart,) = plan.build(tmp_path / "apart").run(x)
    np.testing.assert_array_equal(together, apart)
