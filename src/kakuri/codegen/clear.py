"""What surrounds a map: the padding of the convolutions that read it, written once before the map is."""

from __future__ import annotations

from dataclasses import dataclass

from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View


@dataclass(frozen=True)
class ClearHalo(Operation):
    """view: a map with a halo, alone in its storage. fill: the byte that the halo is made of."""

    name: str
    view: View
    fill: int = 0

    @property
    def reads(self) -> tuple[View, ...]:
        return ()

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.view,)

    def body(self) -> str:
        map_ = self.view.four_axes()
        batch, _, height, width = map_.shape
        pixel = map_.strides[3]
        top, bottom, left, right = self.view.halo
        row = pixel * (width + left + right)
        size = self.view.element.size_bytes
        sample = row * (height + top + bottom)
        c = self.view.element.c
        start = pointer(map_, offset=-top * row - left * pixel)
        lines = [f"for (int n = 0; n < {batch}; n++) {{", f"    {c} *a = {start} + (ptrdiff_t)n * {sample};"]
        if top:
            lines.append(f"    memset(a, {self.fill}, {top * row * size});")
        if bottom:
            lines.append(f"    memset(a + {(top + height) * row}, {self.fill}, {bottom * row * size});")
        if left or right:
            lines.append(f"    for (int y = {top}; y < {top + height}; y++) {{")
            if left:
                lines.append(f"        memset(a + (ptrdiff_t)y * {row}, {self.fill}, {left * pixel * size});")
            if right:
                end = (left + width) * pixel
                lines.append(f"        memset(a + (ptrdiff_t)y * {row} + {end}, {self.fill}, {right * pixel * size});")
            lines.append("    }")
        return "\n".join([*lines, "}"])
