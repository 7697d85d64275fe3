"""What a file may not be: each refusal names everything at once, and nothing large is allocated for a small file."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import kakuri as kk
from kakuri.errors import KakuriError
from kakuri.model.importers.tflite.load import convert
from kakuri.model.limits import Limits
from tests.unit.model.tflite.build import Op, T, const, file

RELU = file([T([2]), T([2])], [Op("RELU", [0], [1])], [0], [1])


def refusal(data, **keywords):
    with pytest.raises(KakuriError) as caught:
        convert(data, **keywords)
    return caught.value


def codes(error):
    return [problem.code for problem in error.problems]


def test_a_file_by_its_suffix(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(RELU)
    assert [node.op_type for node in kk.load(path).graph] == ["Relu"]


def test_all_unsupported_operators_are_named_at_once():
    tensors = [T([2]) for _ in range(4)]
    operators = [
        Op("CUSTOM", [0], [1], custom="Odd"),
        Op("WHILE", [1], [2]),
        Op("SVDF", [2], [3]),
    ]
    error = refusal(file(tensors, operators, [0], [3]))
    assert codes(error) == ["KK-M05"] * 3
    assert all(word in str(error) for word in ("CUSTOM Odd", "WHILE", "SVDF", "t1", "t2", "t3"))


def test_problems_of_independent_operators_are_named_together():
    tensors = [T([2, 3]), const(np.array([5, 5], np.int32)), T([5, 5]), T([5, 5]), const(np.int32(9)), T([3, 2, 1])]
    operators = [
        Op("RESHAPE", [0, 1], [2], "ReshapeOptions"),
        Op("ABS", [2], [3]),
        Op("EXPAND_DIMS", [0, 4], [5]),
    ]
    error = refusal(file(tensors, operators, [0], [3, 5]))
    assert [problem.where for problem in error.problems] == ["node 't2'", "node 't5'"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "KK-M02"),
        (b"\x08\0\0\0TFL3", "KK-M02"),
        (RELU[:4] + b"ONNX" + RELU[8:], "KK-M02"),
        (b"\0\0\0\0" + RELU[4:], "KK-M02"),
        (struct.pack("<I", 1 << 31) + RELU[4:], "KK-M02"),
        (RELU[: len(RELU) // 2], "KK-M02"),
        (file([T([2]), T([2])], [Op("RELU", [1], [1])], [0], [1]), "KK-M02"),
        (file([T([2]), T([2])], [Op("RELU", [0], [0])], [0], [1]), "KK-M02"),
        (file([T([2]), T([2])], [Op("RELU", [7], [1])], [0], [1]), "KK-M02"),
        (file([T([-1, 2]), T([1, 2])], [Op("RELU", [0], [1])], [0], [1]), "KK-M03"),
        (file([T([0, 2]), T([1, 2])], [Op("RELU", [0], [1])], [0], [1]), "KK-M07"),
        (file([T([1 << 20, 1 << 20]), T([2])], [Op("RELU", [0], [1])], [0], [1]), "KK-M03"),
        (file([T([1] * 9), T([1] * 9)], [Op("RELU", [0], [1])], [0], [1]), "KK-M03"),
        (file([T([2], "STRING"), T([2])], [Op("RELU", [0], [1])], [0], [1]), "KK-M05"),
        (
            file([T([2], "INT16", scale=[0.1]), T([2], "INT16", scale=[0.1])], [Op("RELU", [0], [1])], [0], [1]),
            "KK-M05",
        ),
        (file([T([2], "INT8", scale=[0.0]), T([2])], [Op("RELU", [0], [1])], [0], [1]), "KK-M02"),
        (file([T([2], "INT8", scale=[1.0], zero=[300]), T([2])], [Op("RELU", [0], [1])], [0], [1]), "KK-M02"),
        (file([T([2]), T([2])], [Op("LEAKY_RELU", [0], [1], "Conv2DOptions")], [0], [1]), "KK-M02"),
    ],
)
def test_files_that_contradict_themselves(data, code):
    assert code in codes(refusal(data))


def test_a_constant_of_another_size():
    tensor = const(np.zeros(3, np.float32))
    tensor.shape = [4]
    error = refusal(file([T([4]), tensor, T([4])], [Op("ADD", [0, 1], [2], "AddOptions")], [0], [2]))
    assert "does not fit its shape" in str(error)


def test_constants_that_share_their_bytes_do_not_multiply():
    """Many weights over one buffer: the file is small, what it asks for is not."""
    weights = const(np.zeros((64, 1, 1, 4096), np.float32))
    bias = const(np.zeros(64, np.float32))
    count = 64
    tensors = [T([1, 1, 1, 4096]), bias, weights, *[T([1, 1, 1, 64]) for _ in range(count)]]
    options = {"StrideW": 1, "StrideH": 1, "Padding": 1}
    convs = [Op("CONV_2D", [0, 2, 1], [3 + index], "Conv2DOptions", options) for index in range(count)]
    error = refusal(file(tensors, convs, [0], list(range(3, 3 + count))))
    assert "KK-M03" in codes(error)


def test_limits_hold():
    assert codes(refusal(RELU, limits=Limits(file_bytes=8))) == ["KK-M03"]
    assert codes(refusal(RELU, limits=Limits(nodes=0))) == ["KK-M03"]


def test_names_from_a_file_are_made_printable():
    data = file([T([2], name="in\x1b[31m"), T([2], name="\x00")], [Op("RELU", [0], [1])], [0], [1])
    net = convert(data)
    names = [value.name for value in (*net.graph.inputs, *net.graph.outputs)]
    assert all(name.isprintable() and name for name in names)
    assert len(set(names)) == 2


def test_an_input_that_is_an_output_and_an_output_twice_used():
    net = convert(file([T([2]), T([2])], [Op("RELU", [0], [1])], [0], [1, 0]))
    assert sorted(node.op_type for node in net.graph) == ["Identity", "Relu"]


def test_very_many_tensors_of_one_name():
    count = 3_000
    tensors = [T([2], name="same") for _ in range(count + 1)]
    chain = [Op("ABS", [index], [index + 1]) for index in range(count)]
    net = convert(file(tensors, chain, [0], [count]))
    names = [node.name for node in net.graph]
    assert len(set(names)) == len(names) == count
