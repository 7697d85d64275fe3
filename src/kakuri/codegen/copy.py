"""Elements moved from one view to another, in whatever order both lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View


@dataclass(frozen=True)
class Copy(Operation):
    """source, target: of one shape and element type."""

    name: str
    source: View
    target: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    def body(self) -> str:
        c, size = self.source.element.c, self.source.element.size_bytes
        axes = axes_of([self.target, self.source])
        inner = axes[-1] if axes else Axis(1, (1, 1))
        lines = [f"{c} *q = {pointer(self.target)};", f"const {c} *p = {pointer(self.source)};"]
        if inner.strides == (1, 1):
            return nest(lines, axes[:-1], ["q", "p"], [f"memcpy(q, p, {inner.size * size});"])
        step = [
            f"for (int i = 0; i < {inner.size}; i++)",
            f"    q[i * {inner.strides[0]}] = p[i * {inner.strides[1]}];",
        ]
        return nest(lines, axes[:-1], ["q", "p"], step)
