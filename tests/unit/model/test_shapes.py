"""Our shape rules against what ONNX Runtime really computes, and against ONNX's operator list."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from kakuri.errors import KakuriError
from kakuri.model import shapes
from kakuri.model.graph import static_shape
from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.limits import Limits
from tests.unit.model.builders import loaded, model, run_all

SIZE = st.integers(1, 5)
STEP = st.integers(1, 3)


def computed_shapes(proto: onnx.ModelProto) -> list[tuple[int, ...]] | None:
    """The shapes of what the runtime computes; None when it refuses the model."""
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    try:
        return [array.shape for array in run_all(proto, floats(*shape))]
    except Exception:  # noqa: BLE001  the runtime's exception types are not public
        return None


def agree(proto: onnx.ModelProto) -> None:
    """Same shapes as the runtime's, or refused by both."""
    expected = computed_shapes(proto)
    if expected is None or any(0 in shape for shape in expected):
        with pytest.raises(KakuriError):
            loaded(proto)
    else:
        assert [static_shape(value) for value in loaded(proto).graph.outputs] == expected


def single(op, shape, constants=None, outputs=1, **attributes):
    names = [f"y{index}" for index in range(outputs)]
    inputs = ["x", *(constants or {})]
    return model([helper.make_node(op, inputs, names, name="n", **attributes)], {"x": shape}, names, constants)


def floats(*shape):
    return np.ones(shape, np.float32)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_convolutions(data):
    draw = data.draw
    axes, group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    spatial = [draw(st.integers(7, 12)) for _ in range(axes)]
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    attributes = {
        "group": group,
        "strides": [draw(STEP) for _ in range(axes)],
        "dilations": [draw(STEP) for _ in range(axes)],
    }
    padding = draw(st.sampled_from(["pads", "VALID", "SAME_UPPER", "SAME_LOWER", "none"]))
    if padding == "pads":
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * axes)]
    elif padding != "none":
        attributes["auto_pad"] = padding
        if padding.startswith("SAME"):  # the runtime computes no dilated windows with automatic padding
            attributes["dilations"] = [1] * axes
    if draw(st.booleans()):
        constants = {"w": floats(2 * group, 2, *kernel)}
        agree(single("Conv", [1, 2 * group, *spatial], constants, **attributes))
    else:
        constants = {"w": floats(2 * group, 2, *kernel)}
        agree(single("ConvTranspose", [1, 2 * group, *spatial], constants, **attributes))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_pools(data):
    draw = data.draw
    axes = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 4)) for _ in range(axes)]
    attributes = {"kernel_shape": kernel, "strides": [draw(STEP) for _ in range(axes)]}
    if draw(st.booleans()):
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in kernel * 2]
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    op = draw(st.sampled_from(["AveragePool", "MaxPool"]))
    agree(single(op, [1, 2, *[draw(st.integers(4, 9)) for _ in range(axes)]], **attributes))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broadcasting(data):
    draw = data.draw
    shape = [draw(SIZE) for _ in range(draw(st.integers(1, 4)))]
    other = [draw(st.sampled_from([1, size])) for size in shape[draw(st.integers(0, len(shape))) :]]
    base = [draw(st.sampled_from([1, size])) if draw(st.booleans()) else size for size in shape]
    agree(single(draw(st.sampled_from(["Add", "Mul", "Pow", "Max"])), base, {"c": floats(*other)}))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_movement(data):
    draw = data.draw
    shape = [draw(SIZE) for _ in range(draw(st.integers(1, 4)))]
    rank, axis = len(shape), draw(st.integers(-len(shape), len(shape) - 1))
    small = st.integers(-7, 7)

    def slicing():
        step = draw(st.sampled_from([-2, -1, 1, 2]))
        lists = {"s": [draw(small)], "e": [draw(small)], "a": [axis], "t": [step]}
        return single("Slice", shape, {name: np.array(items) for name, items in lists.items()})

    cases = {
        "Slice": slicing,
        "Transpose": lambda: single("Transpose", shape, perm=draw(st.permutations(range(rank)))),
        "Flatten": lambda: single("Flatten", shape, axis=draw(st.integers(-rank, rank))),
        "Unsqueeze": lambda: single("Unsqueeze", shape, {"a": np.array([axis, rank])}),
        "Squeeze": lambda: single("Squeeze", [1, *shape, 1], {"a": np.array([0, -1])}),
        "Gather": lambda: single("Gather", shape, {"i": np.zeros((2, 3), np.int64)}, axis=axis),
        "Pad": lambda: single("Pad", shape, {"p": np.array([draw(st.integers(0, 2)) for _ in range(2 * rank)])}),
        "Tile": lambda: single("Tile", shape, {"r": np.array([draw(SIZE) for _ in shape])}),
        "Expand": lambda: single("Expand", [1, *shape], {"s": np.array([draw(SIZE), *shape])}),
        "Concat": lambda: single("Concat", shape, {"c": floats(*shape)}, axis=axis),
        "Split": lambda: single("Split", [*shape, 5], outputs=2, axis=-1, num_outputs=2),
        "Reshape": lambda: single("Reshape", [*shape, 6], {"s": np.array([-1, 3, 2])}),
        "Reshape 0": lambda: single("Reshape", [*shape, 6], {"s": np.array([0, -1])}),
        "ReduceMean": lambda: single("ReduceMean", shape, {"a": np.array([axis])}, keepdims=draw(st.integers(0, 1))),
        "ReduceSum": lambda: single("ReduceSum", shape, keepdims=draw(st.integers(0, 1))),
        "ArgMax": lambda: single("ArgMax", shape, axis=axis, keepdims=draw(st.integers(0, 1))),
        "TopK": lambda: single("TopK", shape, {"k": np.array([1])}, outputs=2, axis=axis),
        "DepthToSpace": lambda: single("DepthToSpace", [1, 8, 2, 3], blocksize=2),
        "SpaceToDepth": lambda: single("SpaceToDepth", [1, 2, 4, 6], blocksize=2),
        "MatMul": lambda: single("MatMul", [*shape, 3], {"w": floats(3, 2)}),
        "MatMul vector": lambda: single("MatMul", [*shape, 3], {"w": floats(3)}),
        "Resize": lambda: single("Resize", [1, 1, 3, 4], {"roi": floats(0), "s": np.array([1, 1, 1.5, 2], np.float32)}),
        "LSTM": lambda: single("LSTM", [4, 1, 3], {"w": floats(1, 8, 3), "r": floats(1, 8, 2)}, 3, hidden_size=2),
        "GRU": lambda: single("GRU", [4, 1, 3], {"w": floats(1, 6, 3), "r": floats(1, 6, 2)}, 2, hidden_size=2),
    }
    proto = cases[draw(st.sampled_from(sorted(cases)))]()
    types = {name: TensorProto.INT64 for name in ("y0",) if proto.graph.node[0].op_type == "ArgMax"}
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = types.get(output.name, TensorProto.FLOAT)
    if proto.graph.node[0].op_type == "TopK":
        proto.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    agree(proto)


MISFITS = {
    "Conv channels": single("Conv", [1, 3, 5, 5], {"w": floats(2, 2, 3, 3)}),
    "Conv group": single("Conv", [1, 4, 5, 5], {"w": floats(3, 2, 3, 3)}, group=2),
    "Conv window": single("Conv", [1, 1, 2, 2], {"w": floats(1, 1, 3, 3)}),
    "Conv bias": single("Conv", [1, 1, 5, 5], {"w": floats(2, 1, 3, 3), "b": floats(3)}),
    "Conv strides": single("Conv", [1, 1, 5, 5], {"w": floats(2, 1, 3, 3)}, strides=[1]),
    "Conv auto_pad": single("Conv", [1, 1, 5, 5], {"w": floats(2, 1, 3, 3)}, auto_pad="SAME"),
    "pool padding": single("MaxPool", [1, 1, 5, 5], kernel_shape=[2, 2], pads=[2, 2, 2, 2]),
    "Gemm": single("Gemm", [1, 4], {"w": floats(3, 2)}),
    "Gemm bias": single("Gemm", [1, 4], {"w": floats(4, 2), "b": floats(3)}),
    "MatMul": single("MatMul", [1, 4], {"w": floats(3, 2)}),
    "Add": single("Add", [1, 4], {"c": floats(3)}),
    "Reshape": single("Reshape", [1, 4], {"s": np.array([3, -1])}),
    "Reshape twice open": single("Reshape", [1, 4], {"s": np.array([-1, -1])}),
    "Concat": single("Concat", [1, 4], {"c": floats(2, 3)}, axis=1),
    "Transpose": single("Transpose", [1, 4], perm=[0, 0]),
    "Squeeze": single("Squeeze", [1, 4], {"a": np.array([1])}),
    "Softmax": single("Softmax", [1, 4], axis=2),
    "BatchNormalization": single("BatchNormalization", [1, 2, 3], dict.fromkeys("gbm", floats(2)) | {"v": floats(3)}),
    "PRelu": single("PRelu", [1, 2], {"s": floats(3, 2)}),
    "Split": single("Split", [2, 4], outputs=2, num_outputs=3),
    "QuantizeLinear": single("QuantizeLinear", [1, 4], {"s": floats(3)}),
    "LSTM": single("LSTM", [4, 1, 3], {"w": floats(1, 8, 2), "r": floats(1, 8, 2)}, hidden_size=2),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_refused_by_node(case):
    with pytest.raises(KakuriError) as caught:
        loaded(MISFITS[case])
    assert [problem.code for problem in caught.value.problems] == ["KK-M07"]
    assert caught.value.problem.where == "n"


def test_shapes_that_depend_on_data_say_so():
    proto = model(
        [
            helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["x", "s"], ["y"], name="r"),
        ],
        {"x": [2]},
        ["y"],
    )
    with pytest.raises(KakuriError, match="depends on data") as caught:
        loaded(proto)
    assert caught.value.problem.where == "r"


def test_sizes_beyond_64_bits_are_counted_exactly():
    tiles = [helper.make_node("Tile", ["x", "r"], ["y"], name="t")]
    proto = model(tiles, {"x": [1, 2]}, ["y"], {"r": np.array([1 << 62, 1 << 62])})
    with pytest.raises(KakuriError) as caught:
        loaded(proto)
    assert caught.value.code == "KK-M03"


def test_every_supported_operator_exists_in_the_opset():
    for name in shapes.SUPPORTED:
        onnx.defs.get_schema(name, 20, "")


def test_narrow_integers_are_range_checked():
    proto = single("Add", [1], {"c": floats(1)})
    tensor = TensorProto(name="c", dims=[1], data_type=TensorProto.FLOAT16, int32_data=[1 << 20])
    proto.graph.initializer[0].CopyFrom(tensor)
    with pytest.raises(KakuriError, match="range"):
        normalize(parse(proto.SerializeToString()), Limits())


def test_typed_fields_are_read():
    proto = single("Add", [1, 2], {"c": floats(2)})
    tensor = helper.make_tensor("c", TensorProto.FLOAT, [2], [1.5, -2.0])
    proto.graph.initializer[0].CopyFrom(tensor)
    (value,) = loaded(proto).graph.initializers.values()
    np.testing.assert_array_equal(value.const_value.numpy(), numpy_helper.to_array(tensor))
