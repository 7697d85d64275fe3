"""Where the largest or smallest element along an axis is, the first of equals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.loops import axes_of, nest
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import integer
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem


@dataclass(frozen=True)
class ArgMax(Operation):
    """source: with the axis still there. target: of the other axes."""

    name: str
    source: View
    target: View
    axis: int
    better: str

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("argmax.h",) if self._of_bytes else ()

    @property
    def _of_bytes(self) -> bool:
        """Whether ``runtime/argmax.h`` finds it."""
        return self.source.element.c == "uint8_t" and self.source.strides[self.axis] == 1 and self.better == ">"

    def body(self) -> str:
        keep = [i for i in range(len(self.source.shape)) if i != self.axis]
        lines = View(
            self.source.storage,
            self.source.offset,
            tuple(self.source.shape[i] for i in keep),
            tuple(self.source.strides[i] for i in keep),
        )
        c, step = self.source.element.c, self.source.strides[self.axis]
        head = [f"int64_t *q = {pointer(self.target)};", f"const {c} *p = {pointer(lines)};"]
        return nest(head, axes_of([self.target, lines]), ["q", "p"], self._inner(c, step))

    def _inner(self, c: str, step: int) -> list[str]:
        length = self.source.shape[self.axis]
        if self._of_bytes:
            return [f"*q = kk_largest_byte(p, {length});"]
        return [
            f"{c} best = p[0];",
            "int where = 0;",
            f"for (int i = 1; i < {length}; i++) {{",
            f"    const {c} v = p[i * {step}];",
            f"    where = v {self.better} best ? i : where;",
            f"    best = v {self.better} best ? v : best;",
            "}",
            "*q = where;",
        ]


def _lower(walk: Lowering, node: ir.Node) -> None:
    source = walk.view(node)
    axis = integer(node, "axis", 0) % len(source.shape)
    target = walk.new(node.outputs[0])
    rest = tuple(size for i, size in enumerate(source.shape) if i != axis)
    seen = target.reshape(rest)
    assert seen is not None, "a dense view has every shape"
    walk.emit(ArgMax(node.name or node.op_type, source, seen, axis, ">" if node.op_type == "ArgMax" else "<"))


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    if integer(node, "select_last_index", 0):
        yield problem(node, "KK-G15", Severity.NOT_YET, "picks the last of equals", "set select_last_index=0")


KERNELS = (Kernel("ArgMax", _lower, _check), Kernel("ArgMin", _lower, _check))
