"""AVERAGE_POOL_2D and MAX_POOL_2D. A maximum of integers is moved, not computed."""

from __future__ import annotations

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.windows import pads_of, positive, strides_of
from kakuri.model.importers.tflite.tensors import Layout


def _window(op: Operation) -> dict[str, list[int]]:
    kernel = positive(op, "window", (op.integer("FilterHeight"), op.integer("FilterWidth")))
    strides, shape = strides_of(op), op.shape(0, Layout.FIRST) if len(op.shape(0)) == 4 else ()
    if not shape:
        raise op.damaged("needs an input of rank 4", op.shape(0))
    pads = pads_of(op, shape[2:], kernel, strides, (1, 1))
    return {"kernel_shape": list(kernel), "strides": list(strides), "pads": pads}


def _average(op: Operation) -> None:
    value = op.core("AveragePool", [op.real(0, Layout.FIRST)], {**_window(op), "count_include_pad": 0})
    op.computed(op.activated(value), Layout.FIRST)


def _maximum(op: Operation) -> None:
    window = _window(op)
    if op.integer("FusedActivationFunction") == 0:
        op.moved(op.core("MaxPool", [op.raw(0, Layout.FIRST)], window), Layout.FIRST)
    else:
        op.computed(op.activated(op.core("MaxPool", [op.real(0, Layout.FIRST)], window)), Layout.FIRST)


IMPORTERS = {
    "AVERAGE_POOL_2D": Importer(_average, "Pool2DOptions"),
    "MAX_POOL_2D": Importer(_maximum, "Pool2DOptions"),
}
