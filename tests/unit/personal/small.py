"""A small trained classifier and its data: noisy pictures of six patterns, the seventh is the personal one."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

import kakuri as kk
from kakuri import personal
from kakuri.personal.planning import PlanSettings

CLASSES, SIDE, WIDTH = 6, 16, 48
RECIPE = personal.Recipe(views=3, flip=False, shift=1)


def pictures(label: int, count: int, seed: int) -> np.ndarray:
    """(count, 1, 16, 16) uint8 of one pattern."""
    pattern = np.random.default_rng(1000 + label).integers(0, 256, (1, SIDE, SIDE))
    noise = np.random.default_rng([seed, label]).normal(0, 40, (count, 1, SIDE, SIDE))
    return np.clip(pattern + noise, 0, 255).astype(np.uint8)


@cache
def data() -> personal.GeneralData:
    samples = np.concatenate([pictures(label, 20, 1) for label in range(CLASSES)])
    labels = np.repeat(np.arange(CLASSES), 20)
    names = tuple(f"p{label}" for label in range(CLASSES))
    return personal.GeneralData(samples, labels, names, np.tile(np.arange(20) >= 14, CLASSES))


@cache
def model() -> ir.Model:
    """conv, batch norm, relu, dense, relu with fixed random weights, and a dense head fitted by ridge regression."""
    random = np.random.default_rng(9)

    def drawn(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    arrays = {
        "conv.weight": drawn(8, 1, 3, 3),
        "dense.weight": drawn(WIDTH, 512),
        "dense.bias": np.zeros(WIDTH, np.float32),
    }
    arrays |= {f"norm.{name}": np.ones(8, np.float32) for name in ("scale", "variance")}
    arrays |= {f"norm.{name}": np.zeros(8, np.float32) for name in ("shift", "mean")}
    norm = ["norm.scale", "norm.shift", "norm.mean", "norm.variance"]
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["a", *norm], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"], axis=1),
        helper.make_node("Gemm", ["d", "dense.weight", "dense.bias"], ["e"], transB=1),
        helper.make_node("Relu", ["e"], ["f"]),
    ]
    trunk = _loaded(nodes, arrays, "f", WIDTH)
    samples, labels = data().part(held_out=False)
    features = kk.model.reference_outputs(trunk, personal.InputSpec(shape=(1, SIDE, SIDE)).normalize(samples))
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    goal = 10 * np.eye(CLASSES)[labels]
    solved = np.linalg.solve(design.T @ design + 1e-2 * np.eye(WIDTH + 1), design.T @ goal).astype(np.float32)
    arrays |= {"head.weight": solved[:-1].T.copy(), "head.bias": solved[-1].copy()}
    head = helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["scores"], transB=1)
    return _loaded([*nodes, head], arrays, "scores", CLASSES)


def _loaded(nodes: list[onnx.NodeProto], arrays: dict[str, np.ndarray], output: str, width: int) -> ir.Model:
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [1, width])]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "small", inputs, outputs, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(proto, f"{folder}/small.onnx")
        return kk.load(f"{folder}/small.onnx")


def plan(**changes: object) -> personal.PersonalPlan:
    settings = PlanSettings(**{"simulated_classes": 0, **changes})  # type: ignore[arg-type]
    return personal.plan(model(), data(), recipe=RECIPE, settings=settings)


@cache
def publisher(folder: Path) -> personal.Publisher:
    return personal.Publisher.create(folder / "publisher.kkey")


def package(folder: Path, **changes: object) -> Path:
    """A signed package in ``folder``; its public key stands beside it."""
    return plan(**changes).build(folder / "general.kkr", publisher(folder))
