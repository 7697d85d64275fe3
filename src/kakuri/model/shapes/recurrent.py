"""Shapes of recurrent layers."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.graph import integer, text
from kakuri.model.shapes.common import Rule, Types, dims, dtype, misfit

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _recurrent(node: ir.Node) -> Types:
    sequence, weight, recurrence = dims(node), dims(node, 1), dims(node, 2)
    directions = 2 if text(node, "direction", "forward") == "bidirectional" else 1
    if len(sequence) != 3 or len(weight) != 3 or len(recurrence) != 3 or integer(node, "layout", 0) != 0:
        raise misfit(node, "needs (time, batch, features) input and rank-3 weights", sequence)
    hidden, gates = recurrence[2], _GATES[node.op_type]
    fits = weight == (directions, gates * hidden, sequence[2]) and recurrence == (directions, gates * hidden, hidden)
    if not fits or integer(node, "hidden_size", hidden) != hidden or hidden < 1:
        raise misfit(node, "the weights do not match the input", f"{weight} and {recurrence}")
    state = (directions, sequence[1], hidden)
    every = (sequence[0], *state)
    return [(dtype(node), every), (dtype(node), state), (dtype(node), state)]


RULES: dict[str, Rule] = dict.fromkeys(_GATES, _recurrent)
