"""Channels first inside, the file's layout outside, and no transposition without need."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.model.graph import constant
from tests.unit.model.tflite.build import Op, T, const, file
from tests.unit.model.tflite.oracle import agree

RNG = np.random.default_rng(8)
CONV = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1, "Padding": 0})


def floats(*shape):
    return const(RNG.uniform(-1, 1, shape).astype(np.float32))


def kinds(net):
    return Counter(node.op_type for node in net.graph)


def test_a_residual_network_has_one_transposition():
    tensors = [T([1, 6, 6, 3]), floats(3, 3, 3, 3), floats(3), T([1, 6, 6, 3]), T([1, 6, 6, 3]), T([1, 6, 6, 3])]
    tensors += [const(np.array([1, 2], np.int32)), T([1, 3])]
    operators = [
        Op("CONV_2D", [0, 1, 2], [3], *CONV),
        Op("CONV_2D", [3, 1, 2], [4], *CONV),
        Op("ADD", [3, 4], [5], "AddOptions"),
        Op("MEAN", [5, 6], [7], "ReducerOptions"),
    ]
    net = agree(file(tensors, operators, [0], [7]))
    assert kinds(net)["Transpose"] == 1
    assert net.graph.outputs[0].name == "t7"


def test_flattening_moves_into_the_dense_layer():
    tensors = [T([1, 4, 4, 3]), floats(5, 3, 3, 3), floats(5), T([1, 4, 4, 5])]
    tensors += [const(np.array([1, 80], np.int32)), T([1, 80]), floats(7, 80), floats(7), T([1, 7])]
    operators = [
        Op("CONV_2D", [0, 1, 2], [3], *CONV),
        Op("RESHAPE", [3, 4], [5], "ReshapeOptions"),
        Op("FULLY_CONNECTED", [5, 6, 7], [8], "FullyConnectedOptions"),
    ]
    net = agree(file(tensors, operators, [0], [8]))
    assert kinds(net) == {"Transpose": 1, "Conv": 1, "Reshape": 1, "Gemm": 1}


def test_a_file_that_is_channels_first_outside_needs_no_transposition():
    tensors = [T([1, 3, 4, 4]), const(np.array([0, 2, 3, 1], np.int32)), T([1, 4, 4, 3]), floats(5, 3, 3, 3), floats(5)]
    tensors += [T([1, 4, 4, 5]), const(np.array([0, 3, 1, 2], np.int32)), T([1, 5, 4, 4])]
    operators = [
        Op("TRANSPOSE", [0, 1], [2], "TransposeOptions"),
        Op("CONV_2D", [2, 3, 4], [5], *CONV),
        Op("TRANSPOSE", [5, 6], [7], "TransposeOptions"),
    ]
    assert kinds(agree(file(tensors, operators, [0], [7]))) == {"Conv": 1}


def test_one_channel_needs_no_transposition():
    tensors = [T([1, 4, 4, 1]), floats(5, 3, 3, 1), floats(5), T([1, 4, 4, 5])]
    net = agree(file(tensors, [Op("CONV_2D", [0, 1, 2], [3], *CONV)], [0], [3]))
    assert kinds(net) == {"Reshape": 1, "Conv": 1, "Transpose": 1}


def test_weights_stay_constant():
    tensors = [T([1, 4, 4, 3]), floats(5, 3, 3, 3), floats(5), T([1, 4, 4, 5])]
    net = agree(file(tensors, [Op("CONV_2D", [0, 1, 2], [3], *CONV)], [0], [3]))
    (conv,) = (node for node in net.graph if node.op_type == "Conv")
    assert constant(conv.inputs[1]).shape == (5, 3, 3, 3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolutions_of_any_shape(data):
    draw = data.draw
    size = st.integers(1, 8)
    height, width, group = draw(size), draw(size), draw(st.integers(1, 3))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    strides, dilations = (draw(st.integers(1, 3)), draw(st.integers(1, 3))), (1, 1)
    if strides == (1, 1):
        dilations = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    same = draw(st.booleans()) or rows * dilations[0] > height or columns * dilations[1] > width
    spans = [(rows - 1) * dilations[0] + 1, (columns - 1) * dilations[1] + 1]
    out = [
        -(-length // stride) if same else (length - span) // stride + 1
        for length, span, stride in zip((height, width), spans, strides, strict=True)
    ]
    depthwise = draw(st.booleans())
    weights = [1, rows, columns, 2 * group] if depthwise else [2 * group, rows, columns, 2]
    channels = group if depthwise else 2 * group
    options = {"StrideH": strides[0], "StrideW": strides[1], "Padding": 0 if same else 1}
    options |= {"DilationHFactor": dilations[0], "DilationWFactor": dilations[1]}
    kind, table = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
    if depthwise:
        options["DepthMultiplier"] = 2
    tensors = [T([1, height, width, channels]), floats(*weights), floats(2 * group), T([1, *out, 2 * group])]
    agree(file(tensors, [Op(kind, [0, 1, 2], [3], table, options)], [0], [3]))
