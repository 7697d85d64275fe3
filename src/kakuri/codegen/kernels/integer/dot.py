"""The operation behind quantised convolutions and dense layers: ``runtime/dot.h`` on views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.kernels.integer.levels import Levels
from kakuri.codegen.kernels.integer.rest import QUAD, Taps, rest_array, taps_of
from kakuri.codegen.kernels.integer.signed import Int64, split_weights
from kakuri.codegen.kernels.linear import SHORT_K, SHORT_PIXELS, SHORT_W, Geometry, linear_tiles
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.targets import Isa
from kakuri.codegen.views import View
from kakuri.codegen.weights import PANEL, ROUND

_OVERREAD_BYTES = 64
_SHORT_LANES = 16


@dataclass(frozen=True)
class Dot(Operation):
    """geometry: in bytes, segments not padded. samples, groups: as in ``Linear``. rest: what ``rest.py`` says."""

    name: str
    source: View
    panels: View
    levels: Levels
    target: View
    geometry: Geometry
    rest: View | None = None
    offset: int = 0
    samples: tuple[int, int, int] = (1, 0, 0)
    groups: tuple[int, int, int, int] = (1, 0, 0, 0)

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "dot.h", "dot_short.h") if self.short else ("levels.h", "dot.h")

    @property
    def short(self) -> bool:
        """Whether ``runtime/dot_short.h`` computes it, where vectors have ``_SHORT_LANES``."""
        g = self.geometry
        return g.kh * g.kw * padded(g.len) <= SHORT_K and g.W >= SHORT_W and g.H * g.W >= SHORT_PIXELS

    @property
    def scratch_bytes(self) -> int:
        """Room after the arena's last map for a segment's last three bytes."""
        return _OVERREAD_BYTES

    def dot_tiles(self, isa: Isa) -> set[tuple[int, int]]:
        if self.short and isa.lanes == _SHORT_LANES:
            return set()
        return linear_tiles(self.geometry, replace(isa, pixels=isa.dot_pixels, wide_pixels=isa.dot_wide_pixels), 0, 1)

    def literal(self) -> str:
        """The kernel's constants."""
        g = self.geometry
        length = padded(g.len)
        values: dict[str, int] = {"W": g.W, "N": g.N, "K": g.kh * g.kw * length, "kh": g.kh, "kw": g.kw}
        values |= {"len": length, "flat": int(g.flat)}
        values |= {name: getattr(g, name) for name in ("a_row", "a_px", "a_ky", "a_kx", "c_row", "c_px")}
        listed = ", ".join(f".{name} = {value}" for name, value in values.items())
        return f"{{{listed}, .levels = {self.levels.literal()}}}"

    def body(self) -> str:
        count, a_sample, c_sample = self.samples
        groups, a_group, c_group, b_group = self.groups
        rest = pointer(self.rest) if self.rest else "0"
        panels = -(-self.geometry.N // PANEL)
        name, sizes = "kk_dot_run", f"{self.geometry.H}"
        if self.short:
            name, sizes = "kk_dot_short_run", f"{self.geometry.H}, {self.geometry.W}, {self.geometry.N}"
        lines = [
            f"KK_TABLE kk_dot g = {self.literal()};",
            f"const uint8_t *a = {pointer(self.source, offset=self.offset)};",
            f"const int8_t *b = {pointer(self.panels)};",
            f"const int32_t *table = {pointer(self.levels.table)};",
            f"uint8_t *c = {pointer(self.target)};",
            f"for (ptrdiff_t n = 0; n < {count}; n++)",
            f"    for (ptrdiff_t k = 0; k < {groups}; k++)",
            f"        {name}(&g, a + n * {a_sample} + k * {a_group}, b + k * {b_group},",
            f"                   table + k * {self.levels.group_step}, {rest}, k * {panels},",
            f"                   c + n * {c_sample} + k * {c_group}, {sizes});",
        ]
        return "\n".join(lines)


def dot_weights(walk: Lowering, parts: Sequence[Int64], geometry: Geometry) -> tuple[View, View | None, int]:
    """Panels, the rest, and a group's share of the panels. parts: per group (segments, taps, columns), exact."""
    offsets = np.add.outer(np.arange(geometry.kh) * geometry.a_ky, np.arange(geometry.kw) * geometry.a_kx).reshape(-1)
    columns = -(-geometry.N // PANEL) * PANEL
    panels: list[NDArray[np.int8]] = []
    taps: list[Taps] = []
    for index, part in enumerate(parts):
        first, *more = split_weights(part)
        panels.append(dot_panels(first))
        for offset, weights in taps_of(more, offsets):
            taps.append((offset, np.pad(weights, ((index * columns, 0), (0, 0)))))
    rest = walk.weights.add(rest_array(taps, len(parts) * columns)) if taps else None
    return walk.weights.add(np.concatenate(panels)), rest, len(panels[0])


def padded(length: int) -> int:
    """Taps of a segment as they are stored."""
    return -(-length // QUAD) * QUAD


def dot_panels(segments: NDArray[np.int64]) -> NDArray[np.int8]:
    """(segments, taps, columns) as a flat array in the layout of ``runtime/dot.h``."""
    count, taps, columns = segments.shape
    filled = np.zeros((count, padded(taps), columns), np.int8)
    filled[:, :taps] = segments
    return quads(filled.reshape(-1, QUAD, columns).transpose(0, 2, 1))


def quads(matrix: NDArray[np.int8]) -> NDArray[np.int8]:
    """(rows of four taps, columns, 4) as a flat array of panels."""
    rows, columns, _ = matrix.shape
    parts = []
    for start in range(0, columns, PANEL):
        part = matrix[:, start : start + PANEL]
        wide = np.zeros((rows, -(-part.shape[1] // ROUND) * ROUND, QUAD), np.int8)
        wide[:, : part.shape[1]] = part
        parts.append(wide.reshape(-1))
    return np.concatenate(parts)
