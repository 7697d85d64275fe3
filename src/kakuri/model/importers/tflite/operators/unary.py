"""Operators on each element, activations among them."""

from __future__ import annotations

import functools

import numpy as np

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import common, operand

_SAME_NAME = {
    "ABS": "Abs",
    "CEIL": "Ceil",
    "COS": "Cos",
    "ELU": "Elu",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "HARD_SWISH": "HardSwish",
    "LOG": "Log",
    "LOGISTIC": "Sigmoid",
    "NEG": "Neg",
    "RELU": "Relu",
    "ROUND": "Round",
    "SIGN": "Sign",
    "SIN": "Sin",
    "SQRT": "Sqrt",
    "TANH": "Tanh",
}
_CLAMPS = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}


def _unary(op: Operation, onnx: str) -> None:
    layout = common(op, (0,))
    op.computed(op.core(onnx, [op.real(0, layout)]), layout)


def _clamp(op: Operation, low: float, high: float) -> None:
    layout = common(op, (0,))
    bounds = [op.constant(name, np.asarray(bound, np.float32)) for name, bound in (("low", low), ("high", high))]
    op.computed(op.core("Clip", [op.real(0, layout), *bounds]), layout)


def _rsqrt(op: Operation) -> None:
    layout = common(op, (0,))
    op.computed(op.core("Reciprocal", [op.node("Sqrt", [op.real(0, layout)])]), layout)


def _square(op: Operation) -> None:
    layout = common(op, (0,))
    value = op.real(0, layout)
    op.computed(op.core("Mul", [value, value]), layout)


def _leaky_relu(op: Operation) -> None:
    layout = common(op, (0,))
    op.computed(op.core("LeakyRelu", [op.real(0, layout)], {"alpha": float(op.number("Alpha"))}), layout)


def _gelu(op: Operation) -> None:
    layout = common(op, (0,))
    kind = "tanh" if op.integer("Approximate") else "none"
    op.computed(op.core("Gelu", [op.real(0, layout)], {"approximate": kind}), layout)


def _prelu(op: Operation) -> None:
    layout = common(op, (0, 1))
    op.computed(op.core("PRelu", [op.real(0, layout), operand(op, 1, layout)]), layout)


def _logical_not(op: Operation) -> None:
    layout = common(op, (0,))
    op.moved(op.core("Not", [op.raw(0, layout)]), layout)


IMPORTERS = {
    **{kind: Importer(functools.partial(_unary, onnx=onnx)) for kind, onnx in _SAME_NAME.items()},
    **{kind: Importer(functools.partial(_clamp, low=low, high=high)) for kind, (low, high) in _CLAMPS.items()},
    "RSQRT": Importer(_rsqrt),
    "SQUARE": Importer(_square),
    "LEAKY_RELU": Importer(_leaky_relu, "LeakyReluOptions"),
    "GELU": Importer(_gelu, "GeluOptions"),
    "PRELU": Importer(_prelu),
    "LOGICAL_NOT": Importer(_logical_not),
}
