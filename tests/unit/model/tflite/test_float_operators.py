"""Each float operator beside LiteRT's reference kernels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.model.tflite.build import Op, T, const, file
from tests.unit.model.tflite.oracle import agree

RNG = np.random.default_rng(5)
MAP = [1, 5, 6, 4]


def floats(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def int32(*items):
    return const(np.array(items, np.int32))


def single(kind, inputs, outputs, table="", **options):
    """One operator; computed tensors among ``inputs`` are the inputs of the file."""
    tensors = [*inputs, *outputs]
    given = [index for index, tensor in enumerate(inputs) if tensor.data is None]
    made = list(range(len(inputs), len(tensors)))
    return file(tensors, [Op(kind, list(range(len(inputs))), made, table, options)], given, made)


def after_conv(kind, constants, outputs, table="", **options):
    """The operator on a map that a convolution made, so that it meets channels-first values."""
    weights = const(floats(4, 1, 1, 4))
    tensors = [T(MAP), weights, const(floats(4)), T(MAP), *constants, *outputs]
    made = list(range(4 + len(constants), len(tensors)))
    conv = Op("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", {"StrideW": 1, "StrideH": 1, "Padding": 1})
    return file(tensors, [conv, Op(kind, [3, *range(4, 4 + len(constants))], made, table, options)], [0], made)


CONV = {"StrideW": 2, "StrideH": 1, "Padding": 0}
UNARY = [
    "ABS",
    "CEIL",
    "COS",
    "EXP",
    "FLOOR",
    "HARD_SWISH",
    "LOGISTIC",
    "NEG",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "ROUND",
    "SIN",
    "SIGN",
    "SQUARE",
    "TANH",
    "ELU",
]
BINARY = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}
COMPARE = ["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]
REDUCE = ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]

CASES = {
    "conv": single(
        "CONV_2D",
        [T([1, 7, 6, 3]), const(floats(5, 3, 2, 3)), const(floats(5))],
        [T([1, 7, 3, 5])],
        "Conv2DOptions",
        **CONV,
    ),
    "conv dilated": single(
        "CONV_2D",
        [T([1, 9, 9, 2]), const(floats(3, 3, 3, 2)), const(floats(3))],
        [T([1, 5, 5, 3])],
        "Conv2DOptions",
        StrideW=1,
        StrideH=1,
        Padding=1,
        DilationWFactor=2,
        DilationHFactor=2,
        FusedActivationFunction=1,
    ),
    "conv grouped": single(
        "CONV_2D",
        [T([1, 5, 5, 4]), const(floats(6, 3, 3, 2)), const(floats(6))],
        [T([1, 5, 5, 6])],
        "Conv2DOptions",
        StrideW=1,
        StrideH=1,
        Padding=0,
        FusedActivationFunction=3,
    ),
    "depthwise": single(
        "DEPTHWISE_CONV_2D",
        [T([1, 6, 6, 3]), const(floats(1, 3, 3, 6)), const(floats(6))],
        [T([1, 3, 3, 6])],
        "DepthwiseConv2DOptions",
        StrideW=2,
        StrideH=2,
        Padding=0,
        DepthMultiplier=2,
        FusedActivationFunction=3,
    ),
    "transpose conv": single(
        "TRANSPOSE_CONV",
        [int32(1, 8, 8, 2), const(floats(2, 3, 3, 4)), T([1, 4, 4, 4])],
        [T([1, 8, 8, 2])],
        "TransposeConvOptions",
        StrideW=2,
        StrideH=2,
        Padding=0,
    ),
    "transpose conv valid": single(
        "TRANSPOSE_CONV",
        [int32(1, 9, 9, 2), const(floats(2, 3, 3, 4)), T([1, 4, 4, 4])],
        [T([1, 9, 9, 2])],
        "TransposeConvOptions",
        StrideW=2,
        StrideH=2,
        Padding=1,
    ),
    "average pool": single(
        "AVERAGE_POOL_2D",
        [T([1, 5, 6, 3])],
        [T([1, 3, 3, 3])],
        "Pool2DOptions",
        FilterWidth=3,
        FilterHeight=2,
        StrideW=2,
        StrideH=2,
        Padding=0,
    ),
    "max pool": single(
        "MAX_POOL_2D",
        [T([1, 5, 6, 3])],
        [T([1, 2, 3, 3])],
        "Pool2DOptions",
        FilterWidth=2,
        FilterHeight=2,
        StrideW=2,
        StrideH=2,
        Padding=1,
        FusedActivationFunction=1,
    ),
    "dense": single(
        "FULLY_CONNECTED", [T([2, 6]), const(floats(4, 6)), const(floats(4))], [T([2, 4])], "FullyConnectedOptions"
    ),
    "dense of a map": single(
        "FULLY_CONNECTED",
        [T([1, 2, 3, 2]), const(floats(4, 12)), const(floats(4))],
        [T([1, 4])],
        "FullyConnectedOptions",
        FusedActivationFunction=1,
    ),
    "dense keeps axes": single(
        "FULLY_CONNECTED",
        [T([1, 2, 3]), const(floats(4, 3))],
        [T([1, 2, 4])],
        "FullyConnectedOptions",
        KeepNumDims=True,
    ),
    "batch matmul": single(
        "BATCH_MATMUL", [T([2, 3, 4]), T([2, 5, 4])], [T([2, 3, 5])], "BatchMatMulOptions", AdjY=True
    ),
    "softmax beta": single("SOFTMAX", [T([2, 6])], [T([2, 6])], "SoftmaxOptions", Beta=0.5),
    "log softmax": single("LOG_SOFTMAX", [T([2, 6])], [T([2, 6])], "LogSoftmaxOptions"),
    "leaky relu": single("LEAKY_RELU", [T([2, 6])], [T([2, 6])], "LeakyReluOptions", Alpha=0.3),
    "gelu": single("GELU", [T([2, 6])], [T([2, 6])], "GeluOptions"),
    "gelu tanh": single("GELU", [T([2, 6])], [T([2, 6])], "GeluOptions", Approximate=True),
    "prelu": after_conv("PRELU", [const(floats(1, 1, 4))], [T(MAP)]),
    "squeeze": single("SQUEEZE", [T([1, 3, 1, 2])], [T([3, 1, 2])], "SqueezeOptions", SqueezeDims=[0]),
    "expand dims": single("EXPAND_DIMS", [T([3, 2]), int32(-1)], [T([3, 2, 1])]),
    "reshape option": single("RESHAPE", [T([3, 4])], [T([2, 6])], "ReshapeOptions", NewShape=[2, -1]),
    "reshape map": after_conv("RESHAPE", [int32(5, 24)], [T([5, 24])]),
    "transpose": single("TRANSPOSE", [T([2, 3, 4]), int32(2, 0, 1)], [T([4, 2, 3])], "TransposeOptions"),
    "transpose to channels first": after_conv("TRANSPOSE", [int32(0, 3, 1, 2)], [T([1, 4, 5, 6])], "TransposeOptions"),
    "concat": after_conv(
        "CONCATENATION", [const(floats(1, 5, 6, 2))], [T([1, 5, 6, 6])], "ConcatenationOptions", Axis=-1
    ),
    "pack": single("PACK", [T([2, 3]), T([2, 3])], [T([2, 2, 3])], "PackOptions", ValuesCount=2, Axis=1),
    "unpack": single("UNPACK", [T([2, 3])], [T([2]), T([2]), T([2])], "UnpackOptions", Num=3, Axis=1),
    "split": single("SPLIT", [int32(1), T([2, 6])], [T([2, 3]), T([2, 3])], "SplitOptions", NumSplits=2),
    "split v": single(
        "SPLIT_V", [T([2, 6]), int32(1, -1), int32(1)], [T([2, 1]), T([2, 5])], "SplitVOptions", NumSplits=2
    ),
    "pad": after_conv(
        "PAD", [const(np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))], [T([1, 8, 7, 4])], "PadOptions"
    ),
    "pad v2": single(
        "PADV2",
        [T([2, 3]), const(np.array([[1, 0], [0, 2]], np.int32)), const(np.float32(0.5))],
        [T([3, 5])],
        "PadV2Options",
    ),
    "mirror pad": single(
        "MIRROR_PAD", [T([3, 3]), const(np.array([[1, 2], [0, 2]], np.int32))], [T([6, 5])], "MirrorPadOptions", Mode=0
    ),
    "slice": after_conv("SLICE", [int32(0, 1, 2, 0), int32(1, -1, 3, 2)], [T([1, 4, 3, 2])], "SliceOptions"),
    "strided slice": single(
        "STRIDED_SLICE",
        [T([4, 6, 3]), int32(3, 1, 1), int32(0, 6, 2), int32(-2, 2, 1)],
        [T([2, 3])],
        "StridedSliceOptions",
        BeginMask=1,
        EndMask=1,
        ShrinkAxisMask=4,
    ),
    "reverse": single("REVERSE_V2", [T([2, 3, 4]), int32(1)], [T([2, 3, 4])], "ReverseV2Options"),
    "gather": single("GATHER", [T([5, 3]), int32(4, 0, 0)], [T([3, 3])], "GatherOptions", Axis=0),
    "gather computed": single("GATHER", [const(floats(5, 3)), T([2], "INT32")], [T([2, 3])], "GatherOptions", Axis=0),
    "tile": single("TILE", [T([2, 3]), int32(2, 1)], [T([4, 3])], "TileOptions"),
    "broadcast to": single("BROADCAST_TO", [T([1, 3]), int32(4, 3)], [T([4, 3])], "BroadcastToOptions"),
    "arg max": after_conv("ARG_MAX", [int32(3)], [T([1, 5, 6], "INT64")], "ArgMaxOptions", OutputType=4),
    "arg min": single("ARG_MIN", [T([3, 4]), int32(0)], [T([4], "INT32")], "ArgMinOptions", OutputType=2),
    "bilinear": after_conv("RESIZE_BILINEAR", [int32(9, 4)], [T([1, 9, 4, 4])], "ResizeBilinearOptions"),
    "bilinear half pixel": after_conv(
        "RESIZE_BILINEAR", [int32(10, 3)], [T([1, 10, 3, 4])], "ResizeBilinearOptions", HalfPixelCenters=True
    ),
    "bilinear corners": after_conv(
        "RESIZE_BILINEAR", [int32(9, 4)], [T([1, 9, 4, 4])], "ResizeBilinearOptions", AlignCorners=True
    ),
    "nearest": after_conv("RESIZE_NEAREST_NEIGHBOR", [int32(9, 4)], [T([1, 9, 4, 4])], "ResizeNearestNeighborOptions"),
    "nearest half pixel": after_conv(
        "RESIZE_NEAREST_NEIGHBOR",
        [int32(10, 3)],
        [T([1, 10, 3, 4])],
        "ResizeNearestNeighborOptions",
        HalfPixelCenters=True,
    ),
    "nearest corners": after_conv(
        "RESIZE_NEAREST_NEIGHBOR", [int32(9, 4)], [T([1, 9, 4, 4])], "ResizeNearestNeighborOptions", AlignCorners=True
    ),
    "depth to space": single(
        "DEPTH_TO_SPACE", [T([1, 2, 3, 8])], [T([1, 4, 6, 2])], "DepthToSpaceOptions", BlockSize=2
    ),
    "space to depth": single(
        "SPACE_TO_DEPTH", [T([1, 4, 6, 2])], [T([1, 2, 3, 8])], "SpaceToDepthOptions", BlockSize=2
    ),
    "space to batch": single(
        "SPACE_TO_BATCH_ND",
        [T([1, 5, 6, 2]), int32(2, 3), const(np.array([[1, 0], [0, 0]], np.int32))],
        [T([6, 3, 2, 2])],
        "SpaceToBatchNDOptions",
    ),
    "batch to space": single(
        "BATCH_TO_SPACE_ND",
        [T([6, 3, 2, 2]), int32(2, 3), const(np.array([[1, 0], [0, 1]], np.int32))],
        [T([1, 5, 5, 2])],
        "BatchToSpaceNDOptions",
    ),
    "cast": single("CAST", [T([3], "INT32")], [T([3])], "CastOptions"),
    "select": single("SELECT", [T([2], "BOOL"), T([2, 3]), T([2, 3])], [T([2, 3])], "SelectOptions"),
    "select v2": single("SELECT_V2", [T([2, 1], "BOOL"), T([2, 3]), T([1, 3])], [T([2, 3])], "SelectV2Options"),
    "add n": single("ADD_N", [T([2, 3]), T([2, 3]), T([2, 3])], [T([2, 3])], "AddNOptions"),
    "squared difference": single("SQUARED_DIFFERENCE", [T([2, 3]), T([1, 3])], [T([2, 3])], "SquaredDifferenceOptions"),
    "maximum": single("MAXIMUM", [T([2, 3]), T([3])], [T([2, 3])], "MaximumMinimumOptions"),
    "minimum": single("MINIMUM", [T([2, 3]), const(floats())], [T([2, 3])], "MaximumMinimumOptions"),
    "floor div": single(
        "FLOOR_DIV", [T([2, 3]), const(np.array([0.3, -0.4, 0.5], np.float32))], [T([2, 3])], "FloorDivOptions"
    ),
    "logical": single("LOGICAL_AND", [T([2, 3], "BOOL"), T([3], "BOOL")], [T([2, 3], "BOOL")], "LogicalAndOptions"),
    "logical not": single("LOGICAL_NOT", [T([2, 3], "BOOL")], [T([2, 3], "BOOL")], "LogicalNotOptions"),
    "pow": single("POW", [T([2, 3]), const(np.float32(2))], [T([2, 3])], "PowOptions"),
    "half precision weights": file(
        [T([1, 3]), const(floats(4, 3).astype(np.float16)), T([4, 3]), T([1, 4])],
        [Op("DEQUANTIZE", [1], [2], "DequantizeOptions"), Op("FULLY_CONNECTED", [0, 2], [3], "FullyConnectedOptions")],
        [0],
        [3],
    ),
    **{f"{kind.lower()}": after_conv(kind, [], [T(MAP)]) for kind in UNARY},
    **{
        f"{kind.lower()} lifted": after_conv(kind, [const(floats(4) + 2)], [T(MAP)], table, FusedActivationFunction=1)
        for kind, table in BINARY.items()
    },
    **{
        f"{kind.lower()} inputs": single(kind, [T([1, 2, 2, 3]), T([2, 3])], [T([1, 2, 2, 3])], table)
        for kind, table in BINARY.items()
        if kind != "DIV"
    },
    **{
        kind.lower(): single(
            kind,
            [T([4], "INT32"), int32(0, 1, 2, 1)],
            [T([4], "BOOL")],
            f"{''.join(w.title() for w in kind.split('_'))}Options",
        )
        for kind in COMPARE
    },
    **{
        f"{kind.lower()} kept": after_conv(kind, [int32(1, 2)], [T([1, 1, 1, 4])], "ReducerOptions", KeepDims=True)
        for kind in REDUCE
    },
    **{f"{kind.lower()} dropped": after_conv(kind, [int32(1, 2)], [T([1, 4])], "ReducerOptions") for kind in REDUCE},
    "mean of rows": after_conv("MEAN", [int32(1)], [T([1, 6, 4])], "ReducerOptions"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_function_is_the_files(case):
    agree(CASES[case])


def positive(kind):
    """Square roots and logarithms need positive numbers: exp comes first."""
    tensors = [T([2, 3]), T([2, 3]), T([2, 3])]
    return file(tensors, [Op("EXP", [0], [1], "ExpOptions"), Op(kind, [1], [2])], [0], [2])


@pytest.mark.parametrize("kind", ["SQRT", "RSQRT", "LOG"])
def test_functions_of_positive_numbers(kind):
    agree(positive(kind))


def test_shapes_are_known_without_running():
    """SHAPE, STRIDED_SLICE, PACK and RESHAPE, as exporters spell "flatten"."""
    tensors = [
        T([1, 3, 4]),
        T([3], "INT32"),
        int32(0),
        int32(1),
        int32(1),
        T([], "INT32"),
        const(np.int32(12)),
        T([2], "INT32"),
        T([1, 12]),
    ]
    operators = [
        Op("SHAPE", [0], [1], "ShapeOptions", {"OutType": 2}),
        Op("STRIDED_SLICE", [1, 2, 3, 4], [5], "StridedSliceOptions", {"ShrinkAxisMask": 1}),
        Op("PACK", [5, 6], [7], "PackOptions", {"ValuesCount": 2}),
        Op("RESHAPE", [0, 7], [8], "ReshapeOptions"),
    ]
    net = agree(file(tensors, operators, [0], [8]))
    assert [node.op_type for node in net.graph] == ["Reshape"]


@pytest.mark.parametrize("clip", [0.0, 0.6, 10.0])
def test_a_recurrent_layer_with_and_without_a_bound_on_its_cell(clip):
    """A bound that three steps cannot reach leaves one LSTM; one that they can makes steps."""
    weights = [const(floats(4, 3)) for _ in range(4)] + [const(floats(4, 4)) for _ in range(4)]
    biases = [const(floats(4) + 1) for _ in range(4)]
    states = [T([1, 4], variable=True), T([1, 4], variable=True)]
    tensors = [T([1, 3, 3]), *weights, *biases, *states, T([1, 3, 4])]
    inputs = [0, *range(1, 9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, -1, -1, -1, -1]
    options = {"FusedActivationFunction": 4, "CellClip": clip}
    lstm = Op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [15], "UnidirectionalSequenceLSTMOptions", options)
    net = agree(file(tensors, [lstm], [0], [15]))
    assert any(node.op_type == "LSTM" for node in net.graph) == (clip != 0.6)
