"""QUANTIZE, DEQUANTIZE and CAST: the same numbers in another type."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import common
from kakuri.model.importers.tflite.source import DTYPES


def _quantize(op: Operation) -> None:
    if op.output.quantization is None:
        raise op.unsupported("quantises to an unsupported type", op.output.source.type)
    layout = common(op, (0,))
    op.computed(op.real(0, layout), layout)


def _dequantize(op: Operation) -> None:
    """Half-precision constants become float32 constants, here and now."""
    source = op.input(0)
    if source.source.type == "FLOAT16" and source.array is not None:
        op.output.array = source.array.astype(np.float32)
        return
    layout = common(op, (0,))
    value = op.real(0, layout)
    if source.source.type == "FLOAT16":
        value = op.core("Cast", [value], {"to": int(ir.DataType.FLOAT)})
    elif source.quantization is None:
        raise op.unsupported("dequantises an unsupported type", source.source.type)
    op.moved(value, layout)


def _cast(op: Operation) -> None:
    """To the output's type. A number that does not fit an integer type is undefined in TFLite, and in ONNX."""
    kind = DTYPES.get(op.output.source.type)
    if kind is None:
        raise op.unsupported("casts to an unsupported type", op.output.source.type)
    layout = common(op, (0,))
    target = ir.DataType.from_numpy(np.dtype(kind))
    op.moved(op.core("Cast", [op.raw(0, layout)], {"to": int(target)}), layout)


IMPORTERS = {
    "QUANTIZE": Importer(_quantize),
    "DEQUANTIZE": Importer(_dequantize),
    "CAST": Importer(_cast),
}
