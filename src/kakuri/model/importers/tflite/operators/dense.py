"""FULLY_CONNECTED -> Gemm, BATCH_MATMUL -> MatMul."""

from __future__ import annotations

import math

import onnx_ir as ir

from kakuri.model.graph import Array
from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.tensors import Layout, Tensor


def _fully_connected(op: Operation) -> None:
    shape, filters = op.shape(0), op.shape(1)
    if op.integer("WeightsFormat") != 0:
        raise op.unsupported("has shuffled weights")
    if len(filters) != 2 or 0 in filters or math.prod(shape) % filters[1]:
        raise op.damaged("has weights that do not fit its input", f"{shape} and {filters}")
    quantization = op.input(1).quantization
    if quantization is not None and len(quantization.scale) > 1 and quantization.axis != 0:
        raise op.unsupported("has weight scales on another axis than its output channels", quantization.axis)
    rows = math.prod(shape) // filters[1]
    data, weights = _operands(op, (rows, filters[1]))
    inputs = [data, weights, op.bias(2)]
    value = op.core("Gemm", inputs if op.has(2) else inputs[:2], {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1})
    value = op.activated(value)
    if op.integer("KeepNumDims") and len(shape) != 2:
        if shape[-1:] != filters[1:]:
            raise op.damaged("keeps axes that its weights do not fit", f"{shape} and {filters}")
        op.computed_as(value, (*shape[:-1], filters[0]))
    else:
        op.computed(value)


def _operands(op: Operation, shape: tuple[int, int]) -> tuple[ir.Value, ir.Value]:
    """The data as a matrix and the weights; a flattened map stays channels first, its weights move instead."""
    tensor = op.input(0)
    flattened = tensor.has(Layout.FLAT_FIRST) and shape[0] == 1
    if flattened and op.input(1).array is not None:
        return op.real(0, Layout.FLAT_FIRST), op.weights(1, lambda array: _channels_first(array, tensor), axis=0)
    raw = op.builder.reshape(op.flat(0), shape, f"{tensor.name}.rows")
    data = op.real(0) if raw is tensor.values.get(Layout.SOURCE) else _real(op, tensor, raw)
    if op.input(1).array is None:
        return data, op.real(1)
    return data, op.weights(1, lambda array: array, axis=0)


def _real(op: Operation, tensor: Tensor, raw: ir.Value) -> ir.Value:
    return raw if tensor.quantization is None else op.builder.dequantize(raw, tensor, 0)


def _channels_first(array: Array, tensor: Tensor) -> Array:
    """Columns of (out, H W C) in the order of a map (C, H, W)."""
    height, width, channels = tensor.map_shape or (1, 1, array.shape[1])
    return array.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(array.shape)


def _batch_matmul(op: Operation) -> None:
    operands = []
    for index, option in ((0, "AdjX"), (1, "AdjY")):
        axes = list(range(len(op.shape(index))))
        value, tensor = op.raw(index), op.input(index)
        if op.integer(option) and len(axes) >= 2:
            axes[-2:] = axes[:-3:-1]
            value = op.builder.transpose(value, axes, f"{tensor.name}.adjoint")
        operands.append(_real(op, tensor, value))
    op.computed(op.core("MatMul", operands))


IMPORTERS = {
    "FULLY_CONNECTED": Importer(_fully_connected, "FullyConnectedOptions"),
    "BATCH_MATMUL": Importer(_batch_matmul, "BatchMatMulOptions"),
}
