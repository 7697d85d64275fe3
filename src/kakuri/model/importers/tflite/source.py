"""What a TFLite file says, as plain data.

Purpose: the first subgraph of an untrusted file: tensors, operators, inputs, outputs.
Guarantees: indices are in range, operators stand in topological order, each tensor is computed once or constant, a
    constant's bytes fit its shape and type, quantisation parameters fit their tensor; all problems are reported
    together as KK-M02, KK-M03, KK-M05.
Does not guarantee: that an operator is known or that its inputs fit it; the importers of ``operators`` check that.
Source: the TFLite schema, version 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError, Problem
from kakuri.model.importers.structure import shown
from kakuri.model.importers.tflite import schema
from kakuri.model.importers.tflite.flatbuffer import Buffer, Table
from kakuri.model.limits import Limits

VERSION = 3
#: numpy type of each tensor type that a model may hold.
DTYPES = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "FLOAT64": "<f8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "BOOL": "?",
}


@dataclass(frozen=True)
class Quantization:
    """real = scale (q - zero_point). scale float32 (k,), zero_point int64 (k,); k is 1, or the size of ``axis``."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of the file; ``data`` holds a constant's elements as a view of the file."""

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    data: NDArray[np.generic] | None
    quantization: Quantization | None
    variable: bool


@dataclass(frozen=True)
class SourceOperator:
    """One operator of the file; an input or output of -1 is left out."""

    kind: str
    label: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]
    table: Table


@dataclass(frozen=True)
class SourceModel:
    tensors: tuple[SourceTensor, ...]
    operators: tuple[SourceOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(data: bytes, limits: Limits) -> SourceModel:
    """The first subgraph of a TFLite file. Raises KK-M02, KK-M03, KK-M05, KK-M12."""
    if len(data) > limits.file_bytes:
        raise KakuriError("KK-M03", "the model is too large", got=len(data), limit=limits.file_bytes)
    root = Buffer(data).root("Model")
    if root.integer("Version") != VERSION:
        raise KakuriError("KK-M04", "unsupported TFLite schema version", got=root.integer("Version"), limit=VERSION)
    subgraphs = root.tables("Subgraphs", "SubGraph", limits.nodes)
    if not subgraphs:
        raise KakuriError("KK-M02", "the file holds no subgraph")
    buffers = root.tables("Buffers", "Buffer", limits.initializers + limits.nodes)
    codes = [_code(entry) for entry in root.tables("OperatorCodes", "OperatorCode", limits.nodes)]
    graph = subgraphs[0]
    tensors, problems = [], []
    for index, table in enumerate(graph.tables("Tensors", "Tensor", limits.initializers + limits.nodes)):
        tensor, found = _tensor(index, table, buffers, limits)
        tensors.append(tensor)
        problems.extend(found)
    operators = []
    for index, table in enumerate(graph.tables("Operators", "Operator", limits.nodes)):
        operators.append(_operator(index, table, codes, tensors, limits))
    model = SourceModel(tuple(tensors), tuple(operators), graph.integers("Inputs"), graph.integers("Outputs"))
    problems.extend(_order_problems(model))
    if problems:
        raise KakuriError.collect(problems)
    return model


def _code(table: Table) -> str:
    """An operator's name: a later code field took over when the first, one byte wide, ran out."""
    code = max(table.integer("BuiltinCode"), table.integer("DeprecatedBuiltinCode"))
    name = schema.names("BuiltinOperator").get(code, f"operator {code}")
    return f"CUSTOM {table.text('CustomCode')}" if name == "CUSTOM" else name


def _tensor(index: int, table: Table, buffers: Sequence[Table], limits: Limits) -> tuple[SourceTensor, list[Problem]]:
    name = table.text("Name")
    where = f"tensor {shown(name or str(index))}"
    number = table.integer("Type")
    kind = schema.names("TensorType").get(number, f"type {number}")
    shape = table.integers("Shape")
    problems = []
    if len(shape) > limits.rank or min(shape, default=0) < 0 or math.prod(shape) > limits.value_elements:
        bound = f"rank {limits.rank}, {limits.value_elements} elements"
        problems.append(Problem("KK-M03", "tensor shape out of bounds", where, str(list(shape)[:16]), bound))
    data, found = _data(table, buffers, kind, shape, where)
    problems.extend(found)
    quantization, found = _quantization(table, kind, shape, where)
    problems.extend(found)
    if table.table("Sparsity", "SparsityParameters") is not None:
        problems.append(Problem("KK-M05", "sparse tensors are not supported", where, hint="store the weights dense"))
    tensor = SourceTensor(index, name, kind, shape, data, quantization, bool(table.number("IsVariable")))
    return tensor, problems


def _data(
    table: Table, buffers: Sequence[Table], kind: str, shape: tuple[int, ...], where: str
) -> tuple[NDArray[np.generic] | None, list[Problem]]:
    index = table.integer("Buffer")
    if index >= len(buffers):
        problem = Problem("KK-M02", "the tensor's buffer does not exist", where, str(index), str(len(buffers)))
        return None, [problem]
    buffer = buffers[index]
    if buffer.number("Offset") > 1:
        return None, [Problem("KK-M05", "tensor data outside the FlatBuffer is not supported", where)]
    if kind not in DTYPES:
        return None, []
    raw = buffer.vector("Data", "<u1", shared=True)
    if raw is None or not len(raw):
        return None, []
    dtype = np.dtype(DTYPES[kind])
    if len(raw) != math.prod(shape) * dtype.itemsize:
        expected = f"{math.prod(shape) * dtype.itemsize} bytes"
        problem = Problem("KK-M02", "tensor data does not fit its shape and type", where, f"{len(raw)} bytes", expected)
        return None, [problem]
    return (raw != 0 if dtype == np.bool_ else raw.view(dtype)).reshape(shape), []


def _quantization(
    table: Table, kind: str, shape: tuple[int, ...], where: str
) -> tuple[Quantization | None, list[Problem]]:
    details = table.table("Quantization", "QuantizationParameters")
    scale = None if details is None else details.vector("Scale", "<f4")
    if details is None or scale is None or not len(scale) or kind not in DTYPES:
        return None, []
    if np.dtype(DTYPES[kind]).kind not in "iu":
        return None, []
    points = details.vector("ZeroPoint", "<i8")
    zero_point = np.zeros(len(scale), np.int64) if points is None or not len(points) else points.astype(np.int64)
    axis = details.integer("QuantizedDimension")
    bounds = np.iinfo(DTYPES[kind])
    fits = len(scale) == 1 or (0 <= axis < len(shape) and len(scale) == shape[axis])
    if len(zero_point) == 1:
        zero_point = np.repeat(zero_point, len(scale))
    fits = fits and len(zero_point) == len(scale) and bool(np.isfinite(scale).all()) and bool((scale > 0).all())  # type: ignore[operator]
    fits = fits and details.integer("DetailsType") == 0
    if not fits or zero_point.min() < bounds.min or zero_point.max() > bounds.max:
        got = f"{len(scale)} scales and {len(zero_point)} zero points on axis {axis} of {list(shape)}"
        return None, [Problem("KK-M02", "malformed quantisation", where, got)]
    return Quantization(scale.astype(np.float32), zero_point, axis if len(scale) > 1 else 0), []


def _operator(
    index: int, table: Table, codes: Sequence[str], tensors: Sequence[SourceTensor], limits: Limits
) -> SourceOperator:
    code = table.integer("OpcodeIndex")
    if code >= len(codes):
        raise KakuriError(
            "KK-M02", "the operator's code does not exist", where=f"operator {index}", got=code, limit=len(codes)
        )
    inputs, outputs = table.integers("Inputs"), table.integers("Outputs")
    intermediates = table.integers("Intermediates")
    stray = [item for item in (*inputs, *outputs, *intermediates) if not -1 <= item < len(tensors)]
    longest = max(len(inputs), len(outputs), len(intermediates))
    if stray or longest > limits.attribute_items:
        raise KakuriError(
            "KK-M02", "the operator's tensors are out of range", where=f"operator {index}", got=(stray or [longest])[:8]
        )
    named = next((tensors[item].name for item in outputs if item >= 0 and tensors[item].name), "")
    label = printable(named.split(";")[0], limits) or f"{codes[code].lower()}_{index}"
    return SourceOperator(codes[code], label, inputs, outputs, intermediates, table)


def printable(name: str, limits: Limits) -> str:
    """A name from the file that messages and models can carry; empty when nothing of it is left."""
    kept = "".join(character if character.isprintable() else "_" for character in name)
    return kept[: limits.name_characters // 2].strip()


def _order_problems(model: SourceModel) -> Iterator[Problem]:
    for what, found in (("input", model.inputs), ("output", model.outputs)):
        if not found or not all(0 <= item < len(model.tensors) for item in found) or len(set(found)) != len(found):
            yield Problem("KK-M02", f"the model's {what}s are malformed", got=str(list(found)[:8]))
            return
    tensors = model.tensors
    ready = {tensor.index for tensor in tensors if tensor.data is not None or tensor.variable}
    for item in model.inputs:
        if tensors[item].data is not None or not _static(tensors[item].shape):
            got = str(list(tensors[item].shape))
            hint = "export with fixed input sizes"
            yield Problem(
                "KK-M07", "an input needs a fixed shape", f"input {shown(tensors[item].name)}", got, hint=hint
            )
    ready |= set(model.inputs)
    for operator in model.operators:
        where = f"node {shown(operator.label)}"
        missing = [item for item in operator.inputs if item >= 0 and item not in ready and not _empty(tensors[item])]
        yield from (
            Problem("KK-M02", f"reads {shown(tensors[item].name)}, which nothing before it computes", where)
            for item in missing[:4]
        )
        yield from _twice(operator, ready, tensors, where)
        ready.update(operator.outputs)
    yield from (
        Problem("KK-M02", "nothing computes this output", where=shown(tensors[item].name))
        for item in model.outputs
        if item not in ready
    )


def _twice(operator: SourceOperator, made: set[int], tensors: Sequence[SourceTensor], where: str) -> Iterator[Problem]:
    seen: set[int] = set()
    for item in operator.outputs:
        repeated = item in made or item in seen
        seen.add(item)
        if item >= 0 and repeated:
            yield Problem("KK-M02", f"{shown(tensors[item].name)} is computed twice", where)


def _static(shape: tuple[int, ...]) -> bool:
    return min(shape, default=1) >= 1


def _empty(tensor: SourceTensor) -> bool:
    """A constant without elements has no bytes; it is there all the same."""
    return 0 in tensor.shape and tensor.type in DTYPES
