"""SOFTMAX and LOG_SOFTMAX, over the last axis of the file's layout."""

from __future__ import annotations

import functools

import numpy as np

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import common, placed


def _softmax(op: Operation, onnx: str) -> None:
    layout, rank = common(op, (0,)), len(op.shape(0))
    if rank < 1:
        raise op.damaged("needs an axis")
    value, beta = op.real(0, layout), op.number("Beta") if onnx == "Softmax" else 1.0
    if beta != 1.0:
        if op.output.quantization is not None or not np.isfinite(beta):
            raise op.unsupported("has a beta other than 1", beta)
        value = op.node("Mul", [value, op.constant("beta", np.asarray(beta, np.float32))])
    op.computed(op.core(onnx, [value], {"axis": placed(rank - 1, layout)}), layout)


IMPORTERS = {
    "SOFTMAX": Importer(functools.partial(_softmax, onnx="Softmax"), "SoftmaxOptions"),
    "LOG_SOFTMAX": Importer(functools.partial(_softmax, onnx="LogSoftmax")),
}
