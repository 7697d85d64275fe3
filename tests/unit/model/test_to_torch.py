"""Every operator of ``to_torch`` against ONNX Runtime, for a batch, and its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from kakuri import KakuriError, model
from kakuri.model.to_torch import _OPERATORS, to_torch, weights_of

_RANDOM = np.random.default_rng(4)


def _array(*shape: int) -> np.ndarray:
    return _RANDOM.normal(size=shape).astype(np.float32)


_POOL = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 1, 1, 1]}
#: operator -> (extra inputs, attributes); the input is (1, 4, 6, 8).
CASES: dict[str, tuple[list[np.ndarray], dict[str, object]]] = {
    "Add": ([_array(4, 1, 1)], {}),
    "AveragePool": ([], {**_POOL, "count_include_pad": 1}),
    "BatchNormalization": ([_array(4), _array(4), _array(4), np.abs(_array(4)) + 1], {"epsilon": 1e-3}),
    "Clip": ([np.array(-0.5, np.float32), np.array(1.0, np.float32)], {}),
    "Concat": ([], {"axis": 1}),  # of the input with itself: a constant has batch 1 and cannot follow a batch
    "Conv": (
        [_array(6, 2, 3, 3), _array(6)],
        {"group": 2, "pads": [0, 1, 2, 1], "strides": [2, 1], "dilations": [1, 2]},
    ),
    "Div": ([np.abs(_array(4, 1, 1)) + 1], {}),
    "Elu": ([], {"alpha": 0.7}),
    "Erf": ([], {}),
    "Flatten": ([], {"axis": 1}),
    "Gelu": ([], {"approximate": "tanh"}),
    "HardSigmoid": ([], {"alpha": 0.3, "beta": 0.4}),
    "HardSwish": ([], {}),
    "LeakyRelu": ([], {"alpha": 0.2}),
    "MaxPool": ([], {**_POOL, "pads": [0, 1, 1, 1]}),
    "Mul": ([_array(1, 4, 6, 8)], {}),
    "Relu": ([], {}),
    "Reshape": ([np.array([1, 8, 24])], {}),
    "Sigmoid": ([], {}),
    "Softmax": ([], {"axis": 1}),
    "Sub": ([_array(4, 1, 1)], {}),
    "Tanh": ([], {}),
}


def _load(folder: Path, nodes: list[onnx.NodeProto], extra: list[np.ndarray], input_shape: list[int]) -> object:
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, input_shape)]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    weights = [numpy_helper.from_array(array, f"w{index}") for index, array in enumerate(extra)]
    graph = helper.make_graph(nodes, "one", inputs, outputs, weights)
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return model.load(path)


def _compare(net: object, x: np.ndarray) -> None:
    expected = model.reference_outputs(net, x)  # type: ignore[arg-type]
    got = to_torch(net)(torch.from_numpy(x)).detach().numpy()  # type: ignore[arg-type]
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize("op", CASES)
def test_an_operator_computes_what_the_runtime_does(tmp_path: Path, op: str) -> None:
    extra, attributes = CASES[op]
    names = ["x"] if op == "Concat" else [f"w{index}" for index in range(len(extra))]
    net = _load(tmp_path, [helper.make_node(op, ["x", *names], ["y"], **attributes)], extra, [1, 4, 6, 8])
    _compare(net, _array(3, 4, 6, 8))


def test_a_dense_layer_computes_what_the_runtime_does(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["x", "w0", "w1"], ["y"], transB=1)
    _compare(_load(tmp_path, [node], [_array(5, 7), _array(5)], [1, 7]), _array(3, 7))


def test_every_operator_has_a_case() -> None:
    assert set(_OPERATORS) == {*CASES, "Gemm"}


def test_weights_are_parameters_under_their_own_names_and_statistics_are_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w0", "w1"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "w2", "w3", "w4", "w5"], ["y"]),
    ]
    extra = [_array(3, 4, 3, 3), _array(3), _array(3), _array(3), _array(3), np.abs(_array(3)) + 1]
    module = to_torch(_load(tmp_path, nodes, extra, [1, 4, 6, 8]))  # type: ignore[arg-type]
    assert set(weights_of(module)) == {"w0", "w1", "w2", "w3"}
    assert np.array_equal(weights_of(module)["w0"], extra[0])
    module(torch.ones(2, 4, 6, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_statistics_are_learnt_when_asked_for_and_in_training_alone(tmp_path: Path) -> None:
    node = helper.make_node("BatchNormalization", ["x", "w0", "w1", "w2", "w3"], ["y"], epsilon=1e-3)
    extra = [_array(4), _array(4), _array(4), np.abs(_array(4)) + 1]
    module = to_torch(_load(tmp_path, [node], extra, [1, 4, 6, 8]))  # type: ignore[arg-type]
    peer = torch.nn.BatchNorm2d(4, eps=1e-3)
    names = ("weight", "bias", "running_mean", "running_var")
    peer.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in zip(names, extra, strict=True)}, strict=False
    )
    x = torch.from_numpy(_array(3, 4, 6, 8))
    fixed = module(x)
    assert all(np.array_equal(array, own.numpy()) for array, own in zip(extra[2:], module.buffers(), strict=True))
    module.learns_statistics = True
    torch.testing.assert_close(module(x), peer(x))
    torch.testing.assert_close(list(module.buffers()), [peer.running_mean, peer.running_var])
    module.eval()
    torch.testing.assert_close(module(x), peer.eval()(x))
    assert not torch.equal(fixed, module(x))


def test_all_operators_without_a_form_are_named_together(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sin", ["x"], ["a"]), helper.make_node("Cos", ["a"], ["y"])]
    with pytest.raises(KakuriError) as caught:
        to_torch(_load(tmp_path, nodes, [], [1, 4, 6, 8]))  # type: ignore[arg-type]
    assert [problem.code for problem in caught.value.problems] == ["KK-M40", "KK-M40"]
