"""UNIDIRECTIONAL_SEQUENCE_LSTM -> LSTM, its states zero at the start of every call.

Source: the operator's inputs by number: data, input weights (i, f, c, o), recurrent weights (i, f, c, o), peepholes
    (i, f, o), biases
(i, f, c, o), projection, projection bias, output state, cell state, layer normalisation (i, f, c, o).
ONNX stacks the gates as i, o, f, c.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kakuri.model.graph import Array, static_shape
from kakuri.model.importers.tflite import schema
from kakuri.model.importers.tflite.operation import Importer, Operation

_INPUT_WEIGHTS, _RECURRENT_WEIGHTS, _BIASES = (1, 4, 2, 3), (5, 8, 6, 7), (12, 15, 13, 14)
_UNSUPPORTED = {"peepholes": range(9, 12), "a projection": range(16, 18), "layer normalisation": range(20, 24)}
_STATES = (18, 19)
#: A bound on the nodes that one operator becomes.
_MOST_STEPS = 256


def _lstm(op: Operation) -> None:
    for what, indices in _UNSUPPORTED.items():
        if any(op.has(index) for index in indices):
            raise op.unsupported(f"with {what} is not built")
    if schema.names("ActivationFunctionType").get(op.integer("FusedActivationFunction")) != "TANH":
        raise op.unsupported("has another activation than tanh", op.integer("FusedActivationFunction"))
    if any(op.has(index) and not op.input(index).source.variable for index in _STATES):
        raise op.unsupported("starts from a given state")
    shape = op.shape(0)
    if len(shape) != 3:
        raise op.damaged("needs an input of rank 3", shape)
    time_major = bool(op.integer("TimeMajor"))
    data = op.real(0) if time_major else _time_major(op)
    value = _clipped(op, data) if _may_clip(op, shape[0 if time_major else 1]) else _whole(op, data)
    op.computed(value if time_major else op.builder.transpose(value, (1, 0, 2), f"{op.label}.batch"))


def _may_clip(op: Operation, steps: int) -> bool:
    """Whether a float cell, which grows by less than 1 a step, can reach its bound; ONNX has no such bound."""
    clip = op.number("CellClip")
    return op.input(0).quantization is None and clip != 0 and not steps <= clip


def _whole(op: Operation, data: ir.Value) -> ir.Value:
    value = op.cores("LSTM", [data, *_weights(op)], {"hidden_size": len(op.array(1))}, outputs=3)[0]
    steps, _, batch, hidden = static_shape(value)
    return op.builder.reshape(value, (steps, batch, hidden), f"{op.label}.steps")


def _clipped(op: Operation, data: ir.Value) -> ir.Value:
    """The steps one by one, the cell clipped after each."""
    clip, hidden = float(op.number("CellClip")), len(op.array(1))
    steps = static_shape(data)[0]
    if not 0 < clip < np.inf or not 1 <= steps <= _MOST_STEPS:
        raise op.unsupported("clips its cell over too many steps", f"{steps} steps, clip {clip}")
    for index in (*_INPUT_WEIGHTS, *_RECURRENT_WEIGHTS, *_BIASES):
        if op.array(index).dtype != np.float32:
            raise op.unsupported("clips its cell and has weights that are not float32", op.array(index).dtype)
    rows, recurrent = (
        op.constant(name, np.concatenate([op.array(index) for index in indices]).T)
        for name, indices in (("input_weights", _INPUT_WEIGHTS), ("recurrent_weights", _RECURRENT_WEIGHTS))
    )
    bias = op.constant("biases", np.concatenate([op.array(index) for index in _BIASES]))
    inputs = op.node("Add", [op.core("MatMul", [data, rows]), bias])
    parts = op.split(inputs, 0, [1] * steps)
    state: ir.Value | None = None
    cell: ir.Value | None = None
    states: list[ir.Value] = []
    for part in parts:
        gates = part if state is None else op.node("Add", [part, op.node("MatMul", [state, recurrent])])
        entry, out, forget, update = op.split(gates, 2, [hidden] * 4)
        added = op.node("Mul", [op.node("Sigmoid", [entry]), op.node("Tanh", [update])])
        if cell is not None:
            added = op.node("Add", [op.node("Mul", [op.node("Sigmoid", [forget]), cell]), added])
        cell = op.clip(added, -clip, clip)
        state = op.node("Mul", [op.node("Sigmoid", [out]), op.node("Tanh", [cell])])
        states.append(state)
    return op.node("Concat", states, {"axis": 0})


def _time_major(op: Operation) -> ir.Value:
    """The data as (time, batch, features); moved before it is dequantised."""
    tensor = op.input(0)
    value = op.builder.transpose(op.raw(0), (1, 0, 2), f"{tensor.name}.steps")
    return value if tensor.quantization is None else op.builder.dequantize(value, tensor, 0)


def _weights(op: Operation) -> list[ir.Value]:
    inputs = _stacked(op, _INPUT_WEIGHTS, "input_weights")
    return [inputs, _stacked(op, _RECURRENT_WEIGHTS, "recurrent_weights"), _bias(op)]


def _stacked(op: Operation, indices: tuple[int, ...], suffix: str) -> ir.Value:
    """Four matrices (hidden, n) as (1, 4 hidden, n), each gate with its own scale."""
    parts = [op.array(index) for index in indices]
    first = parts[0]
    if first.ndim != 2 or any(part.shape != first.shape or part.dtype != first.dtype for part in parts):
        raise op.damaged("has weights of different shapes or types", [part.shape for part in parts])
    value = op.constant(suffix, np.concatenate(parts)[None])
    known = [op.input(index).quantization for index in indices]
    if all(item is None for item in known):
        return value
    if any(item is None or len(item.scale) != 1 or item.zero_point.any() for item in known):
        raise op.unsupported("has weights quantised in another way than by one scale each")
    scales = [np.repeat(item.scale, len(first)) for item in known if item is not None]
    names = (
        op.constant(f"{suffix}.scale", np.concatenate(scales)),
        op.constant(f"{suffix}.zero_point", np.zeros(4 * len(first), first.dtype)),
    )
    return op.node("DequantizeLinear", [value, *names], {"axis": 1})


def _bias(op: Operation) -> ir.Value:
    """Biases (hidden,) as (1, 8 hidden); the recurrent half is zero."""
    parts: list[Array] = [op.array(index) for index in _BIASES]
    hidden = len(op.array(1))
    if any(part.shape != (hidden,) or part.dtype != parts[0].dtype for part in parts):
        raise op.damaged("has biases that do not fit", [part.shape for part in parts])
    rows = np.concatenate([*parts, *(np.zeros(hidden, parts[0].dtype) for _ in parts)])[None]
    value = op.constant("biases", rows)
    if parts[0].dtype == np.float32:
        return value
    data = op.input(0).quantization
    known = [op.input(index).quantization for index in _INPUT_WEIGHTS]
    if data is None or any(item is None for item in known):
        raise op.damaged("has integer biases on float operands")
    scales = [np.repeat(data.scale[0] * item.scale, hidden) for item in known if item is not None]
    scale = np.concatenate([*scales, *scales]).astype(np.float32)
    return op.scaled(value, scale, f"{op.label}.biases.real", axis=1)


IMPORTERS = {"UNIDIRECTIONAL_SEQUENCE_LSTM": Importer(_lstm, "UnidirectionalSequenceLSTMOptions")}
