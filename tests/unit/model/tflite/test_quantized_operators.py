"""Each quantised operator: the integer executor equals LiteRT's reference kernels, ONNX Runtime stays within a unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.errors import KakuriError
from kakuri.model.importers.tflite.load import convert
from kakuri.model.quantized import integer_values, regions
from tests.unit.model.tflite.build import Op, T, const, file
from tests.unit.model.tflite.oracle import agree_in_integers, feeds_for, integers, onnx

CONV = {"StrideW": 1, "StrideH": 1, "Padding": 0}
RELU, RELU6 = {"FusedActivationFunction": 1}, {"FusedActivationFunction": 3}


def activation(kind, shape, scale=0.02, zero=None):
    middle = {"INT8": -3, "UINT8": 119}[kind]
    return T(shape, kind, scale=[scale], zero=[middle if zero is None else zero])


def levels(rng, kind, shape, **keywords):
    dtype = np.dtype(kind.lower())
    low = -127 if kind == "INT8" else 1
    return const(rng.integers(low, np.iinfo(dtype).max + 1, shape).astype(dtype), **keywords)


def linear(kind, op, data, weights, out, *, channels=1, axis=0, table, options, seed=0, zero=130):
    """A layer with weights and bias; int8 weights are symmetric, with ``channels`` scales. zero: of uint8 weights."""
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.002, 0.01, channels).astype(np.float32)
    zeros = [0] * channels if kind == "INT8" else [zero]
    outputs = out[-1]
    bias = const(rng.integers(-3000, 3000, outputs).astype(np.int32), scale=np.float32(0.02) * scales, axis=0)
    stored = levels(rng, kind, weights, scale=scales, zero=zeros, axis=axis)
    tensors = [activation(kind, data), stored, bias, activation(kind, out, 0.05)]
    return file(tensors, [Op(op, [0, 1, 2], [3], table, options)], [0], [3])


def elementwise(kind, op, inputs, out, table="", options=None, scales=(0.02, 0.035), out_scale=0.05, out_zero=None):  # noqa: PLR0917
    tensors = [activation(kind, shape, scale) for shape, scale in zip(inputs, scales, strict=False)]
    tensors.append(activation(kind, out, out_scale, out_zero))
    return file(
        tensors,
        [Op(op, list(range(len(inputs))), [len(inputs)], table, options or {})],
        list(range(len(inputs))),
        [len(inputs)],
    )


def with_constant(kind, op, shape, constant, out, table, options=None, out_scale=0.02, out_zero=None):  # noqa: PLR0917
    tensors = [activation(kind, shape), const(np.array(constant, np.int32)), activation(kind, out, out_scale, out_zero)]
    return file(tensors, [Op(op, [0, 1], [2], table, options or {})], [0], [2])


def cases(kind):
    low = {"INT8": -128, "UINT8": 0}[kind]
    pool = {"FilterWidth": 3, "FilterHeight": 2, "StrideW": 2, "StrideH": 2, "Padding": 0}
    yield "conv", linear(kind, "CONV_2D", [1, 6, 5, 3], [4, 3, 3, 3], [1, 6, 5, 4], table="Conv2DOptions", options=CONV)
    yield (
        "conv relu6",
        linear(kind, "CONV_2D", [1, 6, 5, 3], [4, 3, 3, 3], [1, 6, 5, 4], table="Conv2DOptions", options=CONV | RELU6),
    )
    yield (
        "depthwise",
        linear(
            kind,
            "DEPTHWISE_CONV_2D",
            [1, 6, 5, 4],
            [1, 3, 3, 4],
            [1, 6, 5, 4],
            table="DepthwiseConv2DOptions",
            options=CONV | RELU | {"DepthMultiplier": 1},
        ),
    )
    yield (
        "dense",
        linear(kind, "FULLY_CONNECTED", [2, 40], [7, 40], [2, 7], table="FullyConnectedOptions", options=RELU),
    )
    yield (
        "dense of a map",
        linear(kind, "FULLY_CONNECTED", [1, 2, 4, 5], [7, 40], [1, 7], table="FullyConnectedOptions", options={}),
    )
    yield "add", elementwise(kind, "ADD", [[1, 4, 4, 3], [1, 4, 4, 3]], [1, 4, 4, 3], "AddOptions", RELU)
    yield "add broadcast", elementwise(kind, "ADD", [[1, 4, 4, 3], [1, 1, 1, 3]], [1, 4, 4, 3], "AddOptions")
    yield "sub", elementwise(kind, "SUB", [[3, 7], [3, 7]], [3, 7], "SubOptions")
    yield "mul", elementwise(kind, "MUL", [[3, 7], [3, 7]], [3, 7], "MulOptions", RELU6)
    yield (
        "average pool",
        elementwise(kind, "AVERAGE_POOL_2D", [[1, 5, 6, 3]], [1, 3, 3, 3], "Pool2DOptions", pool, out_scale=0.02),
    )
    yield (
        "max pool",
        elementwise(kind, "MAX_POOL_2D", [[1, 5, 6, 3]], [1, 3, 3, 3], "Pool2DOptions", pool, out_scale=0.02),
    )
    yield (
        "softmax",
        elementwise(
            kind,
            "SOFTMAX",
            [[3, 9]],
            [3, 9],
            "SoftmaxOptions",
            {"Beta": 1.0},
            scales=(0.1,),
            out_scale=1 / 256,
            out_zero=low,
        ),
    )
    yield "logistic", elementwise(kind, "LOGISTIC", [[3, 99]], [3, 99], scales=(0.05,), out_scale=1 / 256, out_zero=low)
    yield "tanh", elementwise(kind, "TANH", [[3, 99]], [3, 99], scales=(0.03,), out_scale=1 / 128, out_zero=low + 128)
    yield "relu", elementwise(kind, "RELU", [[3, 99]], [3, 99], out_scale=0.03)
    yield "requantize", elementwise(kind, "QUANTIZE", [[3, 99]], [3, 99], out_scale=0.013)
    yield "mean", with_constant(kind, "MEAN", [1, 4, 5, 3], [1, 2], [1, 3], "ReducerOptions", out_scale=0.011)
    yield (
        "mean kept",
        with_constant(kind, "MEAN", [1, 4, 5, 3], [1, 2], [1, 1, 1, 3], "ReducerOptions", {"KeepDims": True}),
    )
    if kind == "UINT8":
        yield "sum", with_constant(kind, "SUM", [3, 9], [1], [3], "ReducerOptions", out_scale=0.2)
    yield (
        "bilinear",
        with_constant(
            kind,
            "RESIZE_BILINEAR",
            [1, 4, 5, 3],
            [7, 11],
            [1, 7, 11, 3],
            "ResizeBilinearOptions",
            {"HalfPixelCenters": True},
        ),
    )
    yield (
        "bilinear corners",
        with_constant(
            kind,
            "RESIZE_BILINEAR",
            [1, 4, 5, 3],
            [7, 11],
            [1, 7, 11, 3],
            "ResizeBilinearOptions",
            {"AlignCorners": True},
        ),
    )
    yield "pad", with_constant(kind, "PAD", [2, 3], [[1, 0], [0, 2]], [3, 5], "PadOptions")
    yield "reshape", with_constant(kind, "RESHAPE", [2, 3], [3, 2], [3, 2], "ReshapeOptions")
    yield (
        "concat",
        elementwise(
            kind,
            "CONCATENATION",
            [[2, 3], [2, 4]],
            [2, 7],
            "ConcatenationOptions",
            {"Axis": 1},
            scales=(0.05, 0.05) if kind == "INT8" else (0.02, 0.035),
        ),
    )
    if kind == "INT8":
        yield (
            "conv per channel",
            linear(
                kind,
                "CONV_2D",
                [1, 6, 5, 3],
                [4, 3, 3, 3],
                [1, 6, 5, 4],
                channels=4,
                table="Conv2DOptions",
                options=CONV,
            ),
        )
        yield (
            "depthwise per channel",
            linear(
                kind,
                "DEPTHWISE_CONV_2D",
                [1, 6, 5, 4],
                [1, 3, 3, 4],
                [1, 6, 5, 4],
                channels=4,
                axis=3,
                table="DepthwiseConv2DOptions",
                options=CONV | {"DepthMultiplier": 1},
            ),
        )
        yield (
            "dense per channel",
            linear(
                kind,
                "FULLY_CONNECTED",
                [2, 40],
                [7, 40],
                [2, 7],
                channels=7,
                table="FullyConnectedOptions",
                options=RELU,
            ),
        )


ALL = {f"{kind.lower()} {name}": data for kind in ("INT8", "UINT8") for name, data in cases(kind)}


@pytest.mark.parametrize("case", ALL)
def test_integers_equal_the_reference_kernels(case):
    for seed in range(3):
        agree_in_integers(ALL[case], seed=seed)


def test_sums_of_int8():
    """LiteRT 2.3 reads these integers as unsigned and is no oracle here; ONNX Runtime is, within a unit."""
    net = convert(with_constant("INT8", "SUM", [3, 9], [1], [3], "ReducerOptions", out_scale=0.2))
    feeds = feeds_for(net)
    (got,), (expected,) = integers(net, feeds), onnx(net, feeds)
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolutions_of_any_shape(data):
    draw = data.draw
    kind = draw(st.sampled_from(["INT8", "UINT8"]))
    height, width, channels = (draw(st.integers(1, 7)) for _ in range(3))
    rows, columns, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    options = {
        "StrideH": draw(st.integers(1, 3)),
        "StrideW": draw(st.integers(1, 3)),
        "Padding": 0,
        "FusedActivationFunction": draw(st.sampled_from([0, 1, 3])),
    }
    out = [1, -(-height // options["StrideH"]), -(-width // options["StrideW"]), outputs]
    weights = [outputs, rows, columns, channels]
    shape = [1, height, width, channels]
    agree_in_integers(
        linear(
            kind, "CONV_2D", shape, weights, out, table="Conv2DOptions", options=options, seed=draw(st.integers(0, 99))
        )
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scales_of_any_size(data):
    draw = data.draw
    scale = st.floats(2.0**-10, 10.0, width=32)
    kind, op = draw(st.sampled_from(["INT8", "UINT8"])), draw(st.sampled_from(["ADD", "SUB", "MUL"]))
    table = f"{op.title()}Options"
    scales, out_scale = (draw(scale), draw(scale)), draw(scale)
    built = elementwise(kind, op, [[64], [64]], [64], table, scales=scales, out_scale=out_scale)
    agree_in_integers(built, float_units=2, seed=draw(st.integers(0, 99)))


def test_a_region_says_what_a_generator_needs():
    (region,) = regions(convert(ALL["int8 conv relu6"]))
    assert (region.operator, region.core.op_type) == ("CONV_2D", "Conv")
    assert [operand is not None for operand in region.inputs] == [True, True, True]
    assert region.operand(1).value.const_value.shape.numpy() == (4, 3, 3, 3)
    assert (region.low, region.high) == (-3, -3 + 120)
    assert [node.op_type for node in region.nodes] == ["Conv", "Clip", "QuantizeLinear"]


def test_floats_are_quantised_with_halves_away_from_zero():
    data = file(
        [T([4]), T([4], "INT8", scale=[0.5], zero=[1])], [Op("QUANTIZE", [0], [1], "QuantizeOptions")], [0], [1]
    )
    net = convert(data)
    x = np.array([0.25, -0.25, 0.75, 1000.0], np.float32)
    got = integer_values(net, [x], [net.graph.outputs[0].name])[net.graph.outputs[0].name]
    np.testing.assert_array_equal(got, np.array([2, 0, 3, 127], np.int8))


def test_operators_without_an_integer_kernel_are_named_together():
    tensors = [activation("INT8", [4]) for _ in range(3)]
    net = convert(file(tensors, [Op("EXP", [0], [1], "ExpOptions"), Op("ABS", [1], [2], "AbsOptions")], [0], [2]))
    with pytest.raises(KakuriError) as caught:
        integer_values(net, feeds_for(net), [net.graph.outputs[0].name])
    assert [problem.code for problem in caught.value.problems] == ["KK-M21", "KK-M21"]
    assert all(word in str(caught.value) for word in ("EXP", "ABS", "t1", "t2"))
