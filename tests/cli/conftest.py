"""A tiny network and its inputs in a folder of their own, where sessions run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image


def tiny_network(activation: str = "square") -> onnx.ModelProto:
    """Convolution, square (or the operator named), dense: small enough that a query takes a fraction of a second."""
    random = np.random.default_rng(0)
    weights = {
        "conv1.weight": random.normal(0, 0.3, (2, 1, 3, 3)),
        "fc1.weight": random.normal(0, 0.2, (3, 32)),
        "fc1.bias": np.array([0.5, 0.0, -0.5]),
    }
    act = (
        helper.make_node("Mul", ["h", "h"], ["a"], name="act1")
        if activation == "square"
        else helper.make_node(activation, ["h"], ["a"], name="act1")
    )
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight"], ["h"], name="conv1"),
        act,
        helper.make_node("Flatten", ["a"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["scores"], name="fc1", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 6, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and inputs."""
    folder = tmp_path_factory.mktemp("inputs")
    onnx.save(tiny_network(), folder / "tiny.onnx")
    onnx.save(tiny_network("Relu"), folder / "relu.onnx")
    onnx.save(tiny_network("Softplus"), folder / "softplus.onnx")
    pixels = np.random.default_rng(1).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    np.save(folder / "images.npy", (pixels / 255.0).astype(np.float32)[:, None])
    np.save(folder / "labels.npy", np.arange(40) % 3)
    np.save(folder / "wild.npy", np.full((1, 1, 6, 6), 9.0, np.float32))
    np.save(folder / "wrong_shape.npy", np.zeros((5, 5), np.float32))
    Image.fromarray(pixels[0]).save(folder / "digit.png")
    Image.fromarray(pixels[1]).save(folder / "other.png")
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh current folder with the inputs in it."""
    for item in prepared.iterdir():
        (tmp_path / item.name).write_bytes(item.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("XDG_CACHE_HOME", str(prepared.parent / "cache"))  # the user's own stays as it is
    monkeypatch.delenv("KAKURI_PASSPHRASE", raising=False)
    return tmp_path
