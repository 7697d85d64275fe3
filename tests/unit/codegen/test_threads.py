"""Steps cut into shares: the same bits as one thread, on any pool, and no data race."""

from __future__ import annotations

import ctypes
import functools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import kakuri as kk
from kakuri.codegen import lower, planning
from kakuri.codegen.fuse import fuse
from kakuri.codegen.kernels.chain import Chain
from kakuri.codegen.shares import share
from kakuri.errors import KakuriError
from kakuri.model.importers.tflite.load import convert
from tests.unit.codegen.test_chain import TIGHT
from tests.unit.codegen.together import Together
from tests.unit.model.builders import loaded, model
from tests.unit.model.tflite.oracle import feeds_for
from tests.unit.model.tflite.test_quantized_operators import ALL

node = helper.make_node
SHARE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)
POOL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, SHARE, ctypes.c_void_p, ctypes.c_int)
SHAPE = (1, 3, 21, 17)


def network() -> onnx.ModelProto:
    """Every kind of step that is cut: chains, convolutions, pools, sums, products of one row and of several."""
    random = np.random.default_rng(0)
    shapes = {"a": (24, 3, 3, 3), "d": (24, 1, 5, 5), "p": (40, 24, 1, 1), "k": (100, 40, 3, 3)}
    weights = {name: random.standard_normal(shape).astype(np.float32) / 8 for name, shape in shapes.items()}
    weights |= {"m": random.standard_normal((900, 70)).astype(np.float32)}
    weights |= {"n": random.standard_normal((10, 30)).astype(np.float32)}
    nodes = [
        node("Conv", ["x", "a"], ["x1"], pads=[1, 1, 1, 1], strides=[2, 1]),
        node("Relu", ["x1"], ["x2"]),
        node("Conv", ["x2", "d"], ["x3"], group=24, pads=[2, 2, 2, 2]),
        node("Conv", ["x3", "p"], ["x4"]),
        node("Sigmoid", ["x4"], ["x5"]),
        node("Mul", ["x4", "x5"], ["x6"]),
        node("MaxPool", ["x6"], ["x7"], kernel_shape=[3, 3], strides=[2, 2]),
        node("Conv", ["x7", "k"], ["x8"]),
        node("AveragePool", ["x8"], ["x9"], kernel_shape=[1, 2], strides=[1, 2]),
        node("Transpose", ["x9"], ["rows"], perm=[0, 2, 3, 1]),
        node("Reshape", ["x9", "long"], ["x10"]),
        node("MatMul", ["x10", "m"], ["x12"]),
        node("Softmax", ["x12"], ["y"]),
        node("Reshape", ["x9", "wide"], ["x11"]),
        node("MatMul", ["x11", "n"], ["z"]),
    ]
    weights |= {"long": np.array([1, -1]), "wide": np.array([-1, 10])}
    return model(nodes, {"x": SHAPE}, ["y", "z", "rows"], weights)


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the smallest steps are cut."""
    monkeypatch.setattr(lower, "fuse", functools.partial(fuse, cache=TIGHT))
    monkeypatch.setattr(planning, "share", functools.partial(share, least_work=1))


def image() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.usefixtures("fine")
@pytest.mark.parametrize(("threads", "protect"), [(2, 0), (5, 1)])
def test_the_same_bits_as_one_thread(tmp_path: Path, threads: int, protect: int) -> None:
    net = loaded(network())
    plan = kk.codegen.plan(net, target="x86-64-avx2", threads=threads, protect=protect)
    cut = {
        type(item).__name__
        for item, parts in zip(plan.program.operations, plan.program.shares, strict=True)
        if parts[1:]
    }
    assert cut >= {"Chain", "Linear", "Map", "Pool"}
    one = kk.codegen.plan(net, target="x86-64-avx2").build(tmp_path / "one").run(image())
    many = plan.build(tmp_path / "many").run(image())
    for single, shared in zip(one, many, strict=True):
        np.testing.assert_array_equal(single, shared)


@pytest.mark.usefixtures("fine")
def test_any_order_will_do(tmp_path: Path) -> None:
    plan = kk.codegen.plan(loaded(network()), target="x86-64-sse2", threads=3)
    library = ctypes.CDLL(str(plan.build(tmp_path).compile(tmp_path, shared=True)))
    outputs = [np.zeros(view.shape, np.float32) for view in plan.program.outputs]
    memory = np.zeros(plan.program.arena_bytes + 64, np.uint8)
    arena = ctypes.c_void_p(memory.ctypes.data + -memory.ctypes.data % 64)
    inputs = [np.ascontiguousarray(image())]
    given, taken = ((ctypes.c_void_p * len(x))(*(a.ctypes.data for a in x)) for x in (inputs, outputs))
    calls: list[int] = []

    def backwards(pool: int, compute: ctypes._FuncPointer, work: int, count: int) -> None:
        calls.append(count)
        for index in reversed(range(count)):
            compute(work, index)

    size = ctypes.c_size_t(plan.program.arena_bytes)
    assert library.infer_shared(given, taken, arena, size, POOL(backwards), None) == 0
    shared = [array.copy() for array in outputs]
    assert calls == [len(parts) for parts in plan.program.shares if len(parts) > 1]
    assert max(calls) == 3
    assert len(calls) < len(plan.program.operations)
    assert library.infer(given, taken, arena, size) == 0
    for single, array in zip(outputs, shared, strict=True):
        np.testing.assert_array_equal(single, array)
    assert library.infer_shared(given, taken, arena, size, None, None) == 1
    assert library.infer_shared(given, taken, arena, ctypes.c_size_t(8), POOL(backwards), None) == 2


@pytest.mark.usefixtures("fine")
def test_quantised_steps_stay_exact(tmp_path: Path) -> None:
    together = Together()
    for name, data in ALL.items():
        net = convert(data)
        feeds = dict(zip((str(value.name) for value in net.graph.inputs), feeds_for(net), strict=True))
        together.add_net(net, feeds, name)
    wrong = [
        str(item) for item in together.check(tmp_path, "x86-64-avx512vnni", threads=3).differences if item.absolute
    ]
    assert not wrong, wrong


def _sanitized(folder: Path) -> kk.codegen.Source:
    source = kk.codegen.plan(loaded(network()), target="x86-64-sse2", threads=4).build(folder)
    project, flag = source.project, "-fsanitize=thread"
    watched = replace(project, common_flags=(*project.common_flags, flag, "-g"), link_flags=(*project.link_flags, flag))
    return replace(source, project=watched)


@pytest.mark.usefixtures("fine")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC's sanitizer")
def test_no_data_race(tmp_path: Path) -> None:
    source = _sanitized(tmp_path)
    assert any(isinstance(parts[0], Chain) and parts[1:] for parts in source.plan.program.shares)
    source.run(image())  # raises when the sanitizer found one


@pytest.mark.usefixtures("fine")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC's sanitizer")
def test_a_pool_that_does_not_wait_is_noticed(tmp_path: Path) -> None:
    source = _sanitized(tmp_path)
    pool = tmp_path / "pool_pthread.c"
    text = pool.read_text(encoding="utf-8")
    waits = "while (atomic_load(&p->left))\n        pthread_cond_wait(&p->ended, &p->lock);"
    looks = "i < LOOKS + YIELDS && atomic_load(&p->left)"
    assert waits in text
    assert looks in text
    pool.write_text(text.replace(waits, "").replace(looks, "0"), encoding="utf-8")
    with pytest.raises(KakuriError, match="KK-G22"):
        source.run(image())


@pytest.mark.parametrize(("settings", "code"), [({"threads": 0}, "KK-G03"), ({"threads": 65}, "KK-G03")])
def test_refusals(settings: dict[str, int], code: str) -> None:
    with pytest.raises(KakuriError, match=code):
        kk.codegen.plan(loaded(network()), **settings)


def test_level_4_runs_on_one_thread() -> None:
    with pytest.raises(KakuriError, match="KK-G03"):
        kk.codegen.plan(loaded(network()), protect=4, key=bytes(32), threads=2)


def test_one_thread_is_the_project_without_threads() -> None:
    assert kk.codegen.plan(loaded(network()), threads=1).files() == kk.codegen.plan(loaded(network())).files()
