"""MEAN, SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, ARG_MAX, ARG_MIN."""

from __future__ import annotations

import functools

import numpy as np
import onnx_ir as ir

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import axis_of, common, placed
from kakuri.model.importers.tflite.source import DTYPES
from kakuri.model.importers.tflite.tensors import Layout


def _reduce(op: Operation, onnx: str) -> None:
    rank = len(op.shape(0))
    axes = sorted({axis_of(op, axis, rank) for axis in op.ints(1)})
    keep = bool(op.integer("KeepDims"))
    layout = _layout(op, axes, keep)
    listed = op.constant("axes", np.asarray(sorted(placed(axis, layout) for axis in axes), np.int64))
    value = op.core(onnx, [op.real(0, layout), listed], {"keepdims": int(keep), "noop_with_empty_axes": 1})
    op.computed(value, layout if keep else Layout.SOURCE)


def _layout(op: Operation, axes: list[int], keep: bool) -> Layout:
    """Channels first, unless the axes that stay would change their order."""
    layout = common(op, (0,))
    if layout is Layout.SOURCE or keep:
        return layout
    left = [placed(axis, layout) for axis in range(len(op.shape(0))) if axis not in axes]
    return layout if left == sorted(left) else Layout.SOURCE


def _arg(op: Operation, onnx: str) -> None:
    found, rank = op.ints(1), len(op.shape(0))
    if len(found) != 1:
        raise op.damaged("needs one axis", found[:4])
    axis = axis_of(op, found[0], rank)
    layout = _layout(op, [axis], keep=False)
    attributes = {"axis": placed(axis, layout), "keepdims": 0, "select_last_index": 0}
    value = op.core(onnx, [op.raw(0, layout)], attributes)
    expected = DTYPES.get(op.output.source.type, "")
    if expected and value.dtype != ir.DataType.from_numpy(np.dtype(expected)):
        value = op.node("Cast", [value], {"to": int(ir.DataType.from_numpy(np.dtype(expected)))})
    op.moved(value)


IMPORTERS = {
    "MEAN": Importer(functools.partial(_reduce, onnx="ReduceMean"), "ReducerOptions"),
    "SUM": Importer(functools.partial(_reduce, onnx="ReduceSum"), "ReducerOptions"),
    "REDUCE_MAX": Importer(functools.partial(_reduce, onnx="ReduceMax"), "ReducerOptions"),
    "REDUCE_MIN": Importer(functools.partial(_reduce, onnx="ReduceMin"), "ReducerOptions"),
    "REDUCE_PROD": Importer(functools.partial(_reduce, onnx="ReduceProd"), "ReducerOptions"),
    "ARG_MAX": Importer(functools.partial(_arg, onnx="ArgMax"), "ArgMaxOptions"),
    "ARG_MIN": Importer(functools.partial(_arg, onnx="ArgMin"), "ArgMinOptions"),
}
