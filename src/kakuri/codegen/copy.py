"""Elements moved from one view to another, in whatever order both lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kakuri.codegen.loops import Axis, axes_of, nest
from kakuri.codegen.program import pointer
from kakuri.codegen.rowwise import Rowwise, Span
from kakuri.codegen.views import F32, View


@dataclass(frozen=True)
class Copy(Rowwise):
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

    @property
    def span(self) -> Span | None:
        shape = self.target.shape
        return Span() if len(shape) == 4 and shape[0] == 1 and self.target.element is F32 else None

    def constants(self, tag: str) -> list[str]:
        del tag
        return []

    def rows(self, tag: str, a: str, c: str, first: str, count: str) -> list[str]:
        del tag, first
        views = [self.target, self.source]
        row = [view.slice(2, 0, 1) for view in views]
        lines = [f"for (ptrdiff_t y = 0; y < {count}; y++) {{"]
        lines += [f"    float *q = {c} + y * {self.target.strides[2]};"]
        lines += [f"    const float *p = {a} + y * {self.source.strides[2]};"]
        return [*lines, *(f"    {line}" for line in self._moved([], axes_of(row)).split("\n")), "}"]

    def body(self) -> str:
        c = self.source.element.c
        head = [f"{c} *q = {pointer(self.target)};", f"const {c} *p = {pointer(self.source)};"]
        return self._moved(head, axes_of([self.target, self.source]))

    def _moved(self, head: Sequence[str], axes: list[Axis]) -> str:
        inner = axes[-1] if axes else Axis(1, (1, 1))
        if inner.strides == (1, 1):
            work = [f"memcpy(q, p, {inner.size * self.source.element.size_bytes});"]
        else:
            work = [
                f"for (int i = 0; i < {inner.size}; i++)",
                f"    q[i * {inner.strides[0]}] = p[i * {inner.strides[1]}];",
            ]
        return nest(head, axes[:-1], ["q", "p"], work)
