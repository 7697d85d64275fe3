"""LSTM with the usual activations: the inputs' part of all steps is one product, the rest ``runtime/lstm.h``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from kakuri.codegen.copy import Copy
from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.kernels.linear import Geometry, Linear
from kakuri.codegen.kernels.pad import Fill
from kakuri.codegen.literals import struct_literal
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.codegen.weights import panels
from kakuri.model.graph import constant, input_of, integer, static_shape, text
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class Lstm(Operation):
    """One direction. pre (steps, batch, 4 hidden); state h, c (batch, hidden); y (steps, batch, hidden)."""

    name: str
    pre: View
    weights: View
    h: View
    c: View
    y: View
    reverse: bool

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.pre, self.h, self.c)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.y, self.h, self.c)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("maths.h", "lstm.h")

    @property
    def scratch_bytes(self) -> int:
        return 4 * self.pre.shape[2]

    def body(self) -> str:
        steps, batch, hidden = self.y.shape
        fields: dict[str, int | float] = {"steps": steps, "hidden": hidden, "reverse": int(self.reverse)}
        fields |= {"pre_step": self.pre.strides[0], "y_step": self.y.strides[0]}
        return "\n".join(
            [
                f"KK_TABLE kk_lstm g = {struct_literal(fields)};",
                f"for (ptrdiff_t n = 0; n < {batch}; n++)",
                f"    kk_lstm_run(&g, {pointer(self.pre)} + n * {self.pre.strides[1]}, {pointer(self.weights)},",
                f"        {pointer(self.h)} + n * {hidden}, {pointer(self.c)} + n * {hidden}, (float *)S,",
                f"        {pointer(self.y)} + n * {self.y.strides[1]});",
            ]
        )


def _lower(walk: Lowering, node: ir.Node) -> None:
    source = walk.dense(walk.view(node))
    steps, batch, inputs = source.shape
    w, r = (np.asarray(walk.constant(node, i), np.float32) for i in (1, 2))
    given = walk.constant(node, 3)
    directions, hidden = r.shape[0], r.shape[2]
    bias = np.zeros((directions, 8 * hidden), np.float32) if given is None else np.asarray(given, np.float32)
    name = node.name or "lstm"
    every = walk.scratch((steps, directions, batch, hidden), range(4))
    last = [walk.scratch((directions, batch, hidden), range(3)) for _ in range(2)]
    for state, index in zip(last, (5, 6), strict=True):
        walk.emit(
            Fill(name, state, 0.0) if input_of(node, index) is None else Copy(name, walk.view(node, index), state)
        )
    for d in range(directions):
        pre = walk.scratch((steps, batch, 4 * hidden), range(3))
        rows, columns = steps * batch, 4 * hidden
        geometry = Geometry.of_matrix(rows, inputs, columns, columns)
        added = bias[d, : 4 * hidden] + bias[d, 4 * hidden :]
        walk.emit(Linear(name, source, walk.weights.add(panels(w[d].T)), walk.weights.add(added), pre, geometry))
        backwards = d == 1 or text(node, "direction", "forward") == "reverse"
        y, h, c = (v.slice(a, d, 1) for v, a in ((every, 1), (last[0], 0), (last[1], 0)))
        y = View(y.storage, y.offset, (steps, batch, hidden), (y.strides[0], y.strides[2], y.strides[3]))
        h, c = (View(v.storage, v.offset, (batch, hidden), v.strides[1:]) for v in (h, c))
        walk.emit(Lstm(name, pre, walk.weights.add(r[d].T), h, c, y, backwards))
    for value, view in zip(node.outputs, (every, *last), strict=False):
        if value.name:
            walk.alias(value, view)


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    for index, what in ((1, "weights"), (2, "recurrent weights"), (3, "a bias")):
        if input_of(node, index) is not None and constant(input_of(node, index)) is None:
            yield problem(node, "KK-G10", Severity.NOT_YET, f"has {what} that are computed", "make them constant")
    extras = {"activations", "activation_alpha", "activation_beta", "clip"} & set(node.attributes)
    if extras or integer(node, "layout", 0) or integer(node, "input_forget", 0):
        yield problem(
            node, "KK-G19", Severity.NOT_YET, "is not the usual LSTM", "default activations, layout 0, no clip"
        )
    if input_of(node, 4) is not None or input_of(node, 7) is not None:
        yield problem(node, "KK-G19", Severity.NOT_YET, "has lengths or peepholes", "export without them")
    if len(static_shape(node.outputs[0])) == 0:
        yield problem(node, "KK-G19", Severity.NOT_YET, "has no output", "")


KERNELS = (Kernel("LSTM", _lower, _check),)
