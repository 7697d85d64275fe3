"""Shapes of elementwise operators, and of those that keep their first input's shape."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.graph import input_of, integer
from kakuri.model.shapes.common import Rule, Types, axis_of, broadcast, dims, dtype, misfit

_SAME = """Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh CumSum Elu Erf Exp Floor Gelu
HardSigmoid HardSwish Identity LRN LeakyRelu Log LpNormalization MeanVarianceNormalization Mish Neg Not Reciprocal Relu
Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Trilu"""
_BROADCAST = "Add And BitwiseAnd BitwiseOr BitwiseXor Div Max Mean Min Mod Mul Or Pow Sub Sum Xor"
_COMPARE = "Equal Greater GreaterOrEqual Less LessOrEqual"


def _same(node: ir.Node) -> Types:
    return [(dtype(node), dims(node))]


def _broadcast(node: ir.Node) -> Types:
    return [(dtype(node), broadcast(node, [dims(node, index) for index in range(len(node.inputs))]))]


def _compare(node: ir.Node) -> Types:
    return [(ir.DataType.BOOL, broadcast(node, [dims(node, 0), dims(node, 1)]))]


def _where(node: ir.Node) -> Types:
    return [(dtype(node, 1), broadcast(node, [dims(node, index) for index in range(3)]))]


def _prelu(node: ir.Node) -> Types:
    if broadcast(node, [dims(node), dims(node, 1)]) != dims(node):
        raise misfit(node, "the slope does not broadcast to the input", dims(node, 1))
    return _same(node)


def _softmax(node: ir.Node) -> Types:
    axis_of(node, integer(node, "axis", -1), len(dims(node)))
    return _same(node)


def _cast(node: ir.Node) -> Types:
    try:
        target = ir.DataType(integer(node, "to", 0))
    except ValueError:
        raise misfit(node, "unknown target type", integer(node, "to", 0)) from None
    return [(target, dims(node))]


def _dropout(node: ir.Node) -> Types:
    return [(dtype(node), dims(node)), (ir.DataType.BOOL, dims(node))]


def _channel_norm(node: ir.Node) -> Types:
    """BatchNormalization, InstanceNormalization, GroupNormalization: parameters per channel (or per group)."""
    shape = dims(node)
    if len(shape) < 2:
        raise misfit(node, "needs a batch and a channel axis", shape)
    sizes = (shape[1], integer(node, "num_groups", shape[1]))
    for index in range(1, len(node.inputs)):
        if dims(node, index) not in {(size,) for size in sizes}:
            raise misfit(node, "a parameter does not match the channels", dims(node, index))
    return _same(node)


def _layer_norm(node: ir.Node) -> Types:
    shape = dims(node)
    axis = axis_of(node, integer(node, "axis", -1), len(shape))
    for index in range(1, len(node.inputs)):
        if input_of(node, index) is not None and broadcast(node, [shape[axis:], dims(node, index)]) != shape[axis:]:
            raise misfit(node, "a parameter does not match the normalised axes", dims(node, index))
    kept = shape[:axis] + (1,) * (len(shape) - axis)
    return [(dtype(node), shape), (ir.DataType.FLOAT, kept), (ir.DataType.FLOAT, kept)]


def _check_scale(node: ir.Node) -> None:
    """The scale (and zero point) is one number, or one per entry of ``axis``."""
    shape, scale = dims(node), dims(node, 1)
    if scale not in ((), (1,)) and scale != (shape[axis_of(node, integer(node, "axis", 1), len(shape))],):
        raise misfit(node, "the scale does not match the axis", scale)
    if input_of(node, 2) is not None and dims(node, 2) != scale:
        raise misfit(node, "scale and zero point differ in shape", dims(node, 2))


def _quantize(node: ir.Node) -> Types:
    _check_scale(node)
    return [(dtype(node, 2) if input_of(node, 2) is not None else ir.DataType.UINT8, dims(node))]


def _dequantize(node: ir.Node) -> Types:
    _check_scale(node)
    return [(dtype(node, 1), dims(node))]


RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    **dict.fromkeys(_COMPARE.split(), _compare),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "GroupNormalization"), _channel_norm),
    "Where": _where,
    "PRelu": _prelu,
    "Cast": _cast,
    "Dropout": _dropout,
    "LayerNormalization": _layer_norm,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
