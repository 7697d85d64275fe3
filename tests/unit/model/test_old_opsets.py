"""Models of older and newer opsets compute the same after loading; the runtime runs the originals."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from kakuri.errors import KakuriError
from tests.unit.model.builders import loaded, model, run_all

X = np.random.default_rng(5).standard_normal((1, 2, 3, 4)).astype(np.float32)


def net(opset, op, constants=None, outputs=1, extra_inputs=(), **attributes):
    names = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op, ["x", *(constants or {}), *extra_inputs], names, name="n", **attributes)
    return model([node], {"x": X.shape}, names, constants, opset=opset)


BN = {name: np.array([0.5, 2.0], np.float32) for name in "gbmv"}
CASES = {
    "Squeeze 11": lambda: model(
        [helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0]), helper.make_node("Squeeze", ["u"], ["y"], axes=[0])],
        {"x": X.shape},
        ["y"],
        opset=11,
    ),
    "ReduceSum 11": lambda: net(11, "ReduceSum", axes=[1, -1], keepdims=0),
    "ReduceMean 13": lambda: net(13, "ReduceMean", axes=[2], keepdims=1),
    "ReduceMax 13, all axes": lambda: net(13, "ReduceMax", keepdims=1),
    "Clip 9": lambda: net(9, "Clip", min=-0.5, max=0.25),
    "Clip 9, one bound": lambda: net(9, "Clip", max=0.25),
    "Clip 12": lambda: net(12, "Clip", {"low": np.float32(-0.5), "high": np.float32(0.5)}),
    "Pad 9": lambda: net(9, "Pad", pads=[0, 0, 1, 0, 0, 0, 2, 1], value=3.0),
    "Slice 9": lambda: net(9, "Slice", starts=[1, 0], ends=[2, -1], axes=[1, 3]),
    "Slice 9, leading axes": lambda: net(9, "Slice", starts=[0, 1], ends=[1, 2]),
    "Split 11": lambda: net(11, "Split", outputs=2, axis=3, split=[1, 3]),
    "Split 11, equal": lambda: net(11, "Split", outputs=2, axis=3),
    "Split 13": lambda: net(13, "Split", {"sizes": np.array([3, 1])}, outputs=2, axis=3),
    "Softmax 11, default axis 1": lambda: net(11, "Softmax"),
    "Softmax 11, axis 2": lambda: net(11, "Softmax", axis=2),
    "Softmax 11, last axis": lambda: net(11, "Softmax", axis=3),
    "Softmax 11, negative axis": lambda: net(11, "Softmax", axis=-2),
    "LogSoftmax 9": lambda: net(9, "LogSoftmax", axis=1),
    "Softmax 13": lambda: net(13, "Softmax", axis=1),
    "Dropout 10": lambda: model(
        [helper.make_node("Dropout", ["x"], ["d"], ratio=0.9), helper.make_node("Relu", ["d"], ["y"])],
        {"x": X.shape},
        ["y"],
        opset=10,
    ),
    "BatchNormalization 9": lambda: net(9, "BatchNormalization", BN, epsilon=0.01),
    "BatchNormalization 13": lambda: net(13, "BatchNormalization", BN),
    "GridSample 16": lambda: net(
        16, "GridSample", {"grid": np.zeros((1, 2, 2, 2), np.float32)}, mode="bilinear", align_corners=1
    ),
    "Conv 22": lambda: net(22, "Conv", {"w": np.ones((1, 2, 2, 2), np.float32)}),
    "Reshape 23": lambda: net(23, "Reshape", {"s": np.array([1, -1])}),
}
#: Our shape rules do not have these operators; loading must say so instead of guessing.
UNSUPPORTED = {"GridSample 16"}


@pytest.mark.parametrize("case", sorted(CASES.keys() - UNSUPPORTED))
def test_same_function_in_opset_20(case):
    proto = CASES[case]()
    net20 = loaded(proto)
    assert net20.graph.opset_imports[""] == 20
    for got, expected in zip(run_all(net20, X), run_all(proto, X), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("case", sorted(UNSUPPORTED))
def test_unsupported(case):
    with pytest.raises(KakuriError) as caught:
        loaded(CASES[case]())
    assert caught.value.code == "KK-M05"


REFUSED = {
    "Upsample": (net(9, "Upsample", {"s": np.array([1, 1, 2, 2], np.float32)}), "KK-M04"),
    "Resize before its coordinate rules": (net(10, "Resize", {"s": np.array([1, 1, 2, 2], np.float32)}), "KK-M04"),
    "BatchNormalization in training": (
        model(
            [
                helper.make_node("BatchNormalization", ["x", *BN], ["y", "mean", "var", "sm", "sv"], name="n"),
                helper.make_node("Neg", ["mean"], ["z"]),
            ],
            {"x": X.shape},
            ["y", "z"],
            BN,
            opset=9,
        ),
        "KK-M04",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_changed_meaning_is_refused_by_node(case):
    proto, code = REFUSED[case]
    with pytest.raises(KakuriError) as caught:
        loaded(proto)
    assert (caught.value.code, caught.value.problem.where) == (code, "n")


def test_dropout_in_training_mode_stays():
    inputs = {"ratio": np.float32(0.5), "mode": np.bool_(True)}
    assert [node.op_type for node in loaded(net(13, "Dropout", inputs)).graph] == ["Dropout"]


def test_a_cast_to_the_same_type_goes():
    nodes = [helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT), helper.make_node("Relu", ["c"], ["y"])]
    assert [node.op_type for node in loaded(model(nodes, {"x": X.shape}, ["y"])).graph] == ["Relu"]


@pytest.mark.parametrize(
    ("op", "inputs", "number"),
    [
        ("Mul", ["x", "c"], 1),
        ("Mul", ["c", "x"], 1),
        ("Div", ["x", "c"], 1),
        ("Add", ["c", "x"], 0),
        ("Sub", ["x", "c"], 0),
        ("Pow", ["x", "c"], 1),
    ],
)
def test_arithmetic_that_changes_nothing_goes(op, inputs, number):
    nodes = [helper.make_node(op, inputs, ["s"]), helper.make_node("Relu", ["s"], ["y"])]
    same = loaded(model(nodes, {"x": X.shape}, ["y"], {"c": np.full((1, 1), number, np.float32)}))
    assert [node.op_type for node in same.graph] == ["Relu"]
    wide = {"c": np.full((2, *X.shape), number, np.float32)}
    assert len(loaded(model(nodes, {"x": X.shape}, ["y"], wide)).graph) == 2


@pytest.mark.parametrize(("op", "inputs"), [("Div", ["c", "x"]), ("Sub", ["c", "x"]), ("Pow", ["c", "x"])])
def test_arithmetic_with_the_constant_first_stays(op, inputs):
    number = 0 if op == "Sub" else 1
    net20 = loaded(model([helper.make_node(op, inputs, ["y"])], {"x": X.shape}, ["y"], {"c": np.float32(number)}))
    assert [node.op_type for node in net20.graph] == [op]


def test_an_identity_that_joins_input_and_output_stays():
    nodes = [helper.make_node("Identity", ["x"], ["z"]), helper.make_node("Relu", ["x"], ["y"])]
    net20 = loaded(model(nodes, {"x": X.shape}, ["y", "z"]))
    assert [value.name for value in net20.graph.outputs] == ["y", "z"]
    np.testing.assert_array_equal(run_all(net20, X)[1], X)


def test_an_identity_before_an_output_gives_its_name_away():
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Identity", ["r"], ["y"])]
    net20 = loaded(model(nodes, {"x": X.shape}, ["y"]))
    assert [(node.op_type, node.outputs[0].name) for node in net20.graph] == [("Relu", "y")]
