"""CONV_2D and DEPTHWISE_CONV_2D -> Conv."""

from __future__ import annotations

from kakuri.model.graph import Array, AttributeValue
from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.windows import dilations_of, pads_of, strides_of
from kakuri.model.importers.tflite.tensors import Layout


def _conv(op: Operation, kernel: tuple[int, int], group: int, *, depthwise: bool) -> None:
    strides, dilations = strides_of(op), dilations_of(op)
    shape = op.shape(0, Layout.FIRST)
    attributes: dict[str, AttributeValue] = {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "dilations": list(dilations),
        "pads": pads_of(op, shape[2:], kernel, strides, dilations),
        "group": group,
    }
    weights = op.weights(1, _depthwise_weights if depthwise else _weights, axis=0)
    inputs = [op.real(0, Layout.FIRST), weights, op.bias(2)]
    op.computed(op.activated(op.core("Conv", inputs if op.has(2) else inputs[:2], attributes)), Layout.FIRST)


def _weights(array: Array) -> Array:
    """(O, H, W, I) -> (O, I, H, W)."""
    return array.transpose(0, 3, 1, 2)


def _depthwise_weights(array: Array) -> Array:
    """(1, H, W, O) -> (O, 1, H, W)."""
    return array.transpose(3, 0, 1, 2)


def _dims(op: Operation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape, filters = op.shape(0), op.array(1).shape
    if len(shape) != 4 or len(filters) != 4 or 0 in filters:
        raise op.damaged("needs input and weights of rank 4", f"{shape} and {filters}")
    return shape, filters


def _full(op: Operation) -> None:
    shape, filters = _dims(op)
    if shape[3] % filters[3]:
        raise op.damaged("has channels that do not fit its weights", f"{shape} and {filters}")
    _check_axis(op, 0)
    _conv(op, (filters[1], filters[2]), shape[3] // filters[3], depthwise=False)


def _depthwise(op: Operation) -> None:
    shape, filters = _dims(op)
    if filters[0] != 1 or shape[3] == 0 or filters[3] % shape[3]:
        raise op.damaged("has channels that do not fit its weights", f"{shape} and {filters}")
    _check_axis(op, 3)
    _conv(op, (filters[1], filters[2]), shape[3], depthwise=True)


def _check_axis(op: Operation, axis: int) -> None:
    """Scales per channel must be per output channel."""
    quantization = op.input(1).quantization
    if quantization is not None and len(quantization.scale) > 1 and quantization.axis != axis:
        raise op.unsupported("has weight scales on another axis than its output channels", quantization.axis)


IMPORTERS = {
    "CONV_2D": Importer(_full, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Importer(_depthwise, "DepthwiseConv2DOptions"),
}
