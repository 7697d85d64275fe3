"""Depthwise convolution: every output channel reads one input channel; ``runtime/depthwise.h``, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.literals import struct_literal
from kakuri.codegen.lowering import Lowering, Tail
from kakuri.codegen.program import pointer
from kakuri.codegen.rowwise import Rowwise, Span
from kakuri.codegen.views import View

LARGEST_SHARED = 7  # wider windows are loops: their unrolled code would be long


@dataclass(frozen=True)
class Window:
    """kernel, strides, dilations, pads: (rows, columns); pads are those above and left."""

    kernel: tuple[int, ...]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]

    @property
    def shared(self) -> bool:
        """Whether neighbouring outputs share loads: taps lie next to each other."""
        return self.dilations[1] == 1 and max(self.kernel) <= LARGEST_SHARED


@dataclass(frozen=True)
class Depthwise(Rowwise):
    """weight: (taps, channels). offset: of the first tap from the source's first element."""

    name: str
    source: View
    weight: View
    bias: View
    target: View
    window: Window
    low: float
    high: float

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("depthwise.h",)

    @property
    def _function(self) -> str:
        kh, kw = self.window.kernel
        return f"kk_depthwise_{kh}_{kw}_{self.window.strides[1]}_{int(self.window.shared)}_{self.target.shape[3]}"

    @property
    def definitions(self) -> tuple[str, ...]:
        kh, kw = self.window.kernel
        fixed = f"{kh}, {kw}, {self.window.strides[1]}, {int(self.window.shared)}, {self.target.shape[3]}"
        return (
            f"KK_FUNCTION void {self._function}(const kk_depthwise *g, const float *a, const float *w, "
            f"const float *bias, float *c)\n{{\n    kk_depthwise_row(g, a, w, bias, c, {fixed});\n}}",
        )

    @property
    def span(self) -> Span | None:
        window = self.window
        reach = window.dilations[0] * (window.kernel[0] - 1) + 1
        return Span(window.strides[0], reach, window.pads[0]) if self.target.shape[0] == 1 else None

    def constants(self, tag: str) -> list[str]:
        row, px = self.source.strides[2:]
        dilations = self.window.dilations
        values = {"W": self.target.shape[3], "C": self.target.shape[1], "a_px": px, "a_ky": dilations[0] * row}
        values |= {"a_kx": dilations[1] * px, "c_px": self.target.strides[3]}
        return [
            f"KK_TABLE kk_depthwise d{tag} = {struct_literal(values | {'low': self.low, 'high': self.high})};",
            f"const float *w{tag} = {pointer(self.weight)}, *bias{tag} = {pointer(self.bias)};",
        ]

    def rows(self, tag: str, a: str, c: str, first: str, count: str) -> list[str]:
        del first
        row, px = self.source.strides[2:]
        (top, left), step = self.window.pads, self.window.strides[0] * row
        return [
            f"for (ptrdiff_t y = 0; y < {count}; y++)",
            f"    {self._function}(&d{tag}, {a} - {top * row + left * px} + y * {step}, w{tag}, bias{tag},",
            f"        {c} + y * {self.target.strides[2]});",
        ]

    def body(self) -> str:
        loop = self.rows("", "a", "c", "0", str(self.target.shape[2]))
        return "\n".join(
            [
                *self.constants(""),
                f"const float *a = {pointer(self.source)};",
                f"float *c = {pointer(self.target)};",
                f"for (ptrdiff_t n = 0; n < {self.target.shape[0]}; n++) {{",
                *(f"    {line}" for line in loop),
                f"    a += {self.source.strides[0]};",
                f"    c += {self.target.strides[0]};",
                "}",
            ]
        )


def emit(
    walk: Lowering,
    name: str,
    source: View,
    target: View,
    *,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    window: Window,
    tail: Tail,
) -> None:
    """weight: (channels, 1, height, width)."""
    channels = len(weight)
    taps = walk.weights.add(weight.reshape(channels, -1).T)
    walk.emit(Depthwise(name, source, taps, walk.weights.add(bias), target, window, tail.low, tail.high))
