"""Mutated ONNX files: damaged bytes, and well-formed protobufs whose meaning was changed."""

from __future__ import annotations

import random

import onnx

_SIZES = (-(1 << 63), -(1 << 31), -1, 0, 1, 2, 3, 255, 1 << 16, 1 << 31, 1 << 40, (1 << 63) - 1)
_OPERATORS = (
    "Conv",
    "ConvTranspose",
    "AveragePool",
    "MaxPool",
    "LpPool",
    "GlobalAveragePool",
    "BatchNormalization",
    "Gemm",
    "MatMul",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Split",
    "Slice",
    "Gather",
    "GatherND",
    "Scatter",
    "ScatterND",
    "Pad",
    "Tile",
    "Expand",
    "Range",
    "ConstantOfShape",
    "Transpose",
    "Resize",
    "Upsample",
    "ReduceMean",
    "ReduceSum",
    "TopK",
    "Where",
    "Cast",
    "Shape",
    "Size",
    "Identity",
    "Dropout",
    "Pow",
    "Softmax",
    "Einsum",
    "OneHot",
    "NonZero",
    "CumSum",
    "DepthToSpace",
    "SpaceToDepth",
    "LSTM",
    "If",
    "Loop",
    "Scan",
    "Clip",
    "Mod",
    "BitShift",
    "Col2Im",
    "MaxUnpool",
    "GridSample",
    "Compress",
    "EyeLike",
    "Trilu",
    "QuantizeLinear",
    "DequantizeLinear",
    "GroupNormalization",
    "CenterCropPad",
    "AffineGrid",
    "DFT",
    "STFT",
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four random changes to the bytes, or to the protobuf that they encode."""
    return _damage(data, rng) if rng.random() < 0.4 else _restructure(data, rng)


def _damage(data: bytes, rng: random.Random) -> bytes:
    buffer = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not buffer:
            break
        position = rng.randrange(len(buffer))
        match rng.randrange(4):
            case 0:
                buffer[position] ^= 1 << rng.randrange(8)
            case 1:
                del buffer[position:]
            case 2:
                end = min(len(buffer), position + rng.randint(1, 40))
                buffer[position:position] = buffer[position:end]
            case _:
                buffer[position : position + 4] = rng.randbytes(4)
    return bytes(buffer)


def _restructure(data: bytes, rng: random.Random) -> bytes:
    proto = onnx.ModelProto.FromString(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice(_CHANGES)(proto, rng)
    return proto.SerializeToString()


def _change_dimension(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    if tensor.dims and rng.random() < 0.8:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_SIZES)
    else:
        tensor.dims.append(rng.choice(_SIZES))


def _change_input(proto: onnx.ModelProto, rng: random.Random) -> None:
    dims = rng.choice(proto.graph.input).type.tensor_type.shape.dim
    if dims:
        rng.choice(dims).dim_value = rng.choice(_SIZES)


def _change_element(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    if tensor.raw_data:
        raw = bytearray(tensor.raw_data)
        position = rng.randrange(len(raw))
        raw[position] = rng.randrange(256)
        if rng.random() < 0.5:
            raw[-1] = rng.choice((0x7F, 0x80, 0xFF))
        tensor.raw_data = bytes(raw)


def _change_type(proto: onnx.ModelProto, rng: random.Random) -> None:
    rng.choice(proto.graph.initializer).data_type = rng.randrange(0, 25)


def _change_operator(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    node.op_type = rng.choice(_OPERATORS)
    if rng.random() < 0.5:
        del node.attribute[:]


def _change_attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    if not node.attribute:
        node.attribute.append(onnx.helper.make_attribute(rng.choice(("axis", "axes", "group", "pads")), 1))
    attribute = rng.choice(node.attribute)
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(_SIZES)
        if rng.random() < 0.2:
            attribute.ints.append(1)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(_SIZES)
    else:
        attribute.type = rng.randrange(0, 15)


def _rewire(proto: onnx.ModelProto, rng: random.Random) -> None:
    names = [name for node in proto.graph.node for name in (*node.input, *node.output)]
    node = rng.choice(proto.graph.node)
    if node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nowhere"])
    if rng.random() < 0.2:
        node.input.append(rng.choice(names))


def _reorder(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = list(proto.graph.node)
    match rng.randrange(3):
        case 0:
            rng.shuffle(nodes)
        case 1:
            nodes.append(rng.choice(nodes))
        case _:
            nodes = nodes[1:] or nodes  # the later changes need a node to work on
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _change_version(proto: onnx.ModelProto, rng: random.Random) -> None:
    proto.opset_import[0].version = rng.choice((*_SIZES, *range(5, 30)))


def _change_name(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    node.name = rng.choice(("", "\x1b[31m", "a" * 2000, "conv1", "\u202e"))
    if node.output:
        node.output[0] = rng.choice(("", "x", "y", "b" * 2000))


_CHANGES = (
    _change_dimension,
    _change_input,
    _change_element,
    _change_type,
    _change_operator,
    _change_attribute,
    _rewire,
    _reorder,
    _change_version,
    _change_name,
)
