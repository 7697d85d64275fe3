"""Quantised depthwise convolution: ``runtime/dot_depthwise.h``, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.depthwise import Window
from kakuri.codegen.kernels.integer.kernel import name_of
from kakuri.codegen.kernels.integer.levels import COLUMNS_ROUND, Levels, levels_of
from kakuri.codegen.kernels.integer.rest import QUAD
from kakuri.codegen.kernels.integer.signed import centred_weights, first_sums, split_weights
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.quantized import Region


@dataclass(frozen=True)
class DotDepthwise(Operation):
    """weight: as the runtime file says. sets: of weights that add up."""

    name: str
    source: View
    weight: View
    levels: Levels
    target: View
    window: Window
    sets: int

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "dot.h", "dot_depthwise.h")

    @property
    def _function(self) -> str:
        kh, kw = self.window.kernel
        return f"kk_dot_depthwise_{kh}_{kw}_{self.window.strides[1]}_{int(self.window.shared)}"

    @property
    def definitions(self) -> tuple[str, ...]:
        kh, kw = self.window.kernel
        return (
            f"KK_FUNCTION void {self._function}(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w,\n"
            f"                                  const int32_t *table, uint8_t *c, int rows)\n"
            f"{{\n    kk_dot_depthwise_all(g, a, w, table, c, rows, {kh}, {kw}, {self.window.strides[1]}, "
            f"{int(self.window.shared)});\n}}",
        )

    def body(self) -> str:
        _, channels, height, width = self.target.shape
        row, px = self.source.strides[2:]
        (dh, dw), (top, left) = self.window.dilations, self.window.pads
        values = {"W": width, "C": channels, "sets": self.sets, "a_row": self.window.strides[0] * row, "a_px": px}
        values |= {"a_ky": dh * row, "a_kx": dw * px, "c_row": self.target.strides[2], "c_px": self.target.strides[3]}
        listed = ", ".join(f".{name} = {value}" for name, value in values.items())
        return "\n".join(
            [
                f"KK_TABLE kk_dot_depthwise g = {{{listed}, .levels = {self.levels.literal()}}};",
                f"const uint8_t *a = {pointer(self.source, offset=-top * row - left * px)};",
                f"const int8_t *w = {pointer(self.weight)};",
                f"const int32_t *table = {pointer(self.levels.table)};",
                f"uint8_t *c = {pointer(self.target)};",
                f"for (ptrdiff_t n = 0; n < {self.target.shape[0]}; n++)",
                f"    {self._function}(&g, a + n * {self.source.strides[0]}, w, table,",
                f"        c + n * {self.target.strides[0]}, {height});",
            ]
        )


def emit(walk: Lowering, region: Region, source: View, target: View, window: Window) -> None:
    centred = centred_weights(region)
    centred = centred if centred.ndim == 4 else centred[:, :, None]
    channels = len(centred)
    start, largest = first_sums(region, centred.reshape(channels, -1))
    sets = split_weights(centred)
    stored = np.stack([_taps(part) for part in sets])
    levels = levels_of(walk, region, start, largest)
    name = name_of(region)
    walk.emit(DotDepthwise(name, source, walk.weights.add(stored), levels, target, window, len(sets)))


def _taps(weights: NDArray[np.int64]) -> NDArray[np.int8]:
    """(channels, 1, rows, columns) as [column][four rows][channel][4]."""
    channels, _, kh, kw = weights.shape
    quads = -(-kh // QUAD)
    filled = np.zeros((-(-channels // COLUMNS_ROUND) * COLUMNS_ROUND, quads * QUAD, kw), np.int8)
    filled[:channels, :kh] = weights[:, 0]
    return filled.reshape(len(filled), quads, QUAD, kw).transpose(3, 1, 0, 2)
