"""TRANSPOSE_CONV -> ConvTranspose."""

from __future__ import annotations

from kakuri.model.importers.tflite import schema
from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.windows import strides_of
from kakuri.model.importers.tflite.tensors import Layout

_SHAPE, _WEIGHTS, _DATA, _BIAS = 0, 1, 2, 3


def _transpose_conv(op: Operation) -> None:
    wanted, filters, shape = op.ints(_SHAPE), op.array(_WEIGHTS).shape, op.shape(_DATA)
    if len(wanted) != 4 or len(filters) != 4 or len(shape) != 4 or shape[3] != filters[3] or wanted[3] != filters[0]:
        raise op.damaged("has shapes that do not fit", f"{shape}, {filters} to {wanted}")
    strides, kernel = strides_of(op), filters[1:3]
    same = schema.names("Padding").get(op.integer("Padding")) == "SAME"
    pads, extra = [], []
    for size, width, stride, target in zip(shape[1:3], kernel, strides, wanted[1:3], strict=True):
        total = max(0, (size - 1) * stride + width - target) if same else 0
        pads.append((total // 2, total - total // 2))
        extra.append(target - ((size - 1) * stride + width - total))
    if not all(0 <= item < stride for item, stride in zip(extra, strides, strict=True)):
        raise op.damaged("has an output size that no padding gives", wanted)
    attributes = {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "pads": [before for before, _ in pads] + [after for _, after in pads],
        "output_padding": extra,
    }
    quantization = op.input(_WEIGHTS).quantization
    if quantization is not None and len(quantization.scale) > 1 and quantization.axis != 0:
        raise op.unsupported("has weight scales on another axis than its output channels", quantization.axis)
    weights = op.weights(_WEIGHTS, lambda array: array.transpose(3, 0, 1, 2), axis=1)
    inputs = [op.real(_DATA, Layout.FIRST), weights, op.bias(_BIAS, data=_DATA, weights=_WEIGHTS)]
    value = op.core("ConvTranspose", inputs if op.has(_BIAS) else inputs[:2], attributes)
    op.computed(op.activated(value), Layout.FIRST)


IMPORTERS = {"TRANSPOSE_CONV": Importer(_transpose_conv, "TransposeConvOptions")}
