"""Small .tflite files, written with the ``tflite`` package's own builder functions and not with the code under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

#: Versions that LiteRT's registry begins with, where that is not 1.
_FIRST_VERSIONS = {"BROADCAST_TO": 2}


@dataclass
class T:
    """A tensor: float32 unless ``type`` says otherwise; constant with ``data``."""

    shape: Sequence[int]
    type: str = "FLOAT32"
    data: np.ndarray | None = None
    scale: Sequence[float] = ()
    zero: Sequence[int] = ()
    axis: int = 0
    variable: bool = False
    name: str = ""


@dataclass
class Op:
    """An operator on tensors by number; ``options`` is a schema table's name with its fields."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    table: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    custom: str = ""


def const(array: np.ndarray, **keywords) -> T:
    array = np.asarray(array)
    names = {"float32": "FLOAT32", "float16": "FLOAT16", "bool": "BOOL"}
    kind = names.get(array.dtype.name, array.dtype.name.upper())
    return T(array.shape, kind, array, **keywords)


def file(tensors: Sequence[T], operators: Sequence[Op], inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    builder = flatbuffers.Builder(1024)
    buffers, tables = [_buffer(builder, None)], []
    for index, tensor in enumerate(tensors):
        number = 0
        if tensor.data is not None:
            buffers.append(_buffer(builder, np.ascontiguousarray(tensor.data).tobytes()))
            number = len(buffers) - 1
        tables.append(_tensor(builder, tensor, number, tensor.name or f"t{index}"))
    codes = sorted({(op.kind, op.custom) for op in operators})
    nodes = [_operator(builder, op, codes.index((op.kind, op.custom))) for op in operators]
    graph = _table(
        builder,
        "SubGraph",
        {
            "Tensors": _offsets(builder, tables),
            "Inputs": _ints(builder, inputs),
            "Outputs": _ints(builder, outputs),
            "Operators": _offsets(builder, nodes),
        },
    )
    entries = [_code(builder, kind, custom) for kind, custom in codes]
    root = _table(
        builder,
        "Model",
        {
            "Version": 3,
            "OperatorCodes": _offsets(builder, entries),
            "Subgraphs": _offsets(builder, [graph]),
            "Buffers": _offsets(builder, buffers),
        },
    )
    builder.Finish(root, b"TFL3")
    return bytes(builder.Output())


def _table(builder, name: str, fields: Mapping[str, object]) -> int:
    getattr(tflite, f"{name}Start")(builder)
    for key, value in fields.items():
        getattr(tflite, f"{name}Add{key}")(builder, value)
    return getattr(tflite, f"{name}End")(builder)


def _offsets(builder, items: Sequence[int]) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def _ints(builder, items: Sequence[int]) -> int:
    return builder.CreateNumpyVector(np.asarray(items, np.int32).reshape(-1))


def _buffer(builder, data: bytes | None) -> int:
    fields = {}
    if data is not None:
        builder.StartVector(1, len(data), 16)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        fields["Data"] = builder.EndVector()
    return _table(builder, "Buffer", fields)


def _tensor(builder, tensor: T, buffer: int, name: str) -> int:
    fields = {
        "Shape": _ints(builder, tensor.shape),
        "Type": getattr(tflite.TensorType, tensor.type),
        "Buffer": buffer,
        "Name": builder.CreateString(name),
        "IsVariable": tensor.variable,
    }
    if len(tensor.scale):
        parameters = {
            "Scale": builder.CreateNumpyVector(np.asarray(tensor.scale, np.float32)),
            "ZeroPoint": builder.CreateNumpyVector(np.asarray(tensor.zero or [0] * len(tensor.scale), np.int64)),
            "QuantizedDimension": tensor.axis,
        }
        fields["Quantization"] = _table(builder, "QuantizationParameters", parameters)
    return _table(builder, "Tensor", fields)


def _operator(builder, op: Op, code: int) -> int:
    fields = {"OpcodeIndex": code, "Inputs": _ints(builder, op.inputs), "Outputs": _ints(builder, op.outputs)}
    if op.table:
        options = {
            key: _ints(builder, value) if isinstance(value, list) else value for key, value in op.options.items()
        }
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, op.table)
        fields["BuiltinOptions"] = _table(builder, op.table, options)
    return _table(builder, "Operator", fields)


def _code(builder, kind: str, custom: str) -> int:
    number = getattr(tflite.BuiltinOperator, kind)
    version = _FIRST_VERSIONS.get(kind, 1)
    fields = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": version}
    if custom:
        fields["CustomCode"] = builder.CreateString(custom)
    return _table(builder, "OperatorCode", fields)
