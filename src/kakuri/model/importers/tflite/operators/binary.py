"""Arithmetic, comparison and logic on two operands that broadcast."""

from __future__ import annotations

import functools

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import common, operand
from kakuri.model.importers.tflite.tensors import Layout


def _arithmetic(op: Operation, onnx: str, *, fused: bool = False) -> None:
    layout = common(op, (0, 1))
    value = op.core(onnx, [operand(op, 0, layout), operand(op, 1, layout)])
    op.computed(op.activated(value) if fused else value, layout)


def _squared_difference(op: Operation) -> None:
    layout = common(op, (0, 1))
    difference = op.node("Sub", [operand(op, 0, layout), operand(op, 1, layout)])
    op.computed(op.core("Mul", [difference, difference]), layout)


def _floor_div(op: Operation) -> None:
    if op.input(0).source.type != "FLOAT32":
        raise op.unsupported("works on floats only", op.input(0).source.type)
    layout = common(op, (0, 1))
    op.computed(op.core("Floor", [op.node("Div", [operand(op, 0, layout), operand(op, 1, layout)])]), layout)


def _compare(op: Operation, onnx: str, *, negated: bool = False) -> None:
    layout = common(op, (0, 1))
    value = op.core(onnx, [operand(op, 0, layout), operand(op, 1, layout)])
    op.moved(op.node("Not", [value]) if negated else value, layout)


def _logical(op: Operation, onnx: str) -> None:
    layout = common(op, (0, 1))
    op.moved(op.core(onnx, [operand(op, 0, layout, real=False), operand(op, 1, layout, real=False)]), layout)


def _add_n(op: Operation) -> None:
    if not op.inputs or any(op.shape(index) != op.shape(0) for index in range(len(op.inputs))):
        raise op.damaged("adds tensors of different shapes")
    layout = common(op, range(len(op.inputs)))
    op.computed(op.core("Sum", [op.real(index, layout) for index in range(len(op.inputs))]), layout)


def _select(op: Operation) -> None:
    """SELECT's condition may be one flag per entry of the first axis; SELECT_V2 broadcasts all three."""
    condition, shape = op.shape(0), op.shape(1)
    per_row = op.kind == "SELECT" and len(condition) == 1 and len(shape) > 1 and condition != (1,)
    if per_row:
        flags = op.builder.reshape(op.raw(0), (*condition, *(1,) * (len(shape) - 1)), f"{op.label}.rows")
        op.computed(op.core("Where", [flags, op.real(1), op.real(2)]), Layout.SOURCE)
        return
    layout = common(op, (0, 1, 2))
    values = [operand(op, 0, layout, real=False), operand(op, 1, layout), operand(op, 2, layout)]
    op.computed(op.core("Where", values), layout)


def _importer(onnx: str) -> Importer:
    return Importer(functools.partial(_arithmetic, onnx=onnx))


def _fused(onnx: str, options: str) -> Importer:
    return Importer(functools.partial(_arithmetic, onnx=onnx, fused=True), options)


IMPORTERS = {
    "ADD": _fused("Add", "AddOptions"),
    "SUB": _fused("Sub", "SubOptions"),
    "MUL": _fused("Mul", "MulOptions"),
    "DIV": _fused("Div", "DivOptions"),
    "MAXIMUM": _importer("Max"),
    "MINIMUM": _importer("Min"),
    "POW": _importer("Pow"),
    "ADD_N": Importer(_add_n),
    "SQUARED_DIFFERENCE": Importer(_squared_difference),
    "FLOOR_DIV": Importer(_floor_div),
    "EQUAL": Importer(functools.partial(_compare, onnx="Equal")),
    "NOT_EQUAL": Importer(functools.partial(_compare, onnx="Equal", negated=True)),
    "GREATER": Importer(functools.partial(_compare, onnx="Greater")),
    "GREATER_EQUAL": Importer(functools.partial(_compare, onnx="GreaterOrEqual")),
    "LESS": Importer(functools.partial(_compare, onnx="Less")),
    "LESS_EQUAL": Importer(functools.partial(_compare, onnx="LessOrEqual")),
    "LOGICAL_AND": Importer(functools.partial(_logical, onnx="And")),
    "LOGICAL_OR": Importer(functools.partial(_logical, onnx="Or")),
    "SELECT": Importer(_select),
    "SELECT_V2": Importer(_select),
}
