"""Signed bytes as unsigned ones, 128 higher, and back: where quantised tensors enter and leave a program."""

from __future__ import annotations

from dataclasses import dataclass

from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View


@dataclass(frozen=True)
class Flip(Operation):
    """source, target: of one shape; one of them int8, the other uint8."""

    name: str
    source: View
    target: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("flip.h",)

    def body(self) -> str:
        axes = axes_of([self.target, self.source])
        inner = axes[-1] if axes else Axis(1, (1, 1))
        head = [f"{self.target.element.c} *q = {pointer(self.target)};"]
        head.append(f"const {self.source.element.c} *p = {pointer(self.source)};")
        if inner.strides == (1, 1):
            return nest(head, axes[:-1], ["q", "p"], [f"kk_flip(p, q, {inner.size});"])
        step = [
            f"for (int i = 0; i < {inner.size}; i++)",
            f"    q[i * {inner.strides[0]}] = ({self.target.element.c})(p[i * {inner.strides[1]}] ^ 128);",
        ]
        return nest(head, axes[:-1], ["q", "p"], step)
