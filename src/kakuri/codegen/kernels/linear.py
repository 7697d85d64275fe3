"""The operation behind convolutions and products with a constant matrix: ``runtime/conv.h`` on views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kakuri.codegen.literals import struct_literal
from kakuri.codegen.lowering import INFINITY
from kakuri.codegen.program import pointer
from kakuri.codegen.rowwise import Rowwise, Span
from kakuri.codegen.targets import Isa
from kakuri.codegen.views import View

if TYPE_CHECKING:
    from kakuri.codegen.kernels.depthwise import Window


#: Sums of at most so many products, over rows of at least so many pixels, and so many pixels in all, have tiles whose
#: sizes are known when they are compiled. More of them would make the binary larger, not faster.
SHORT_K, SHORT_W, SHORT_PIXELS = 64, 8, 64


@dataclass(frozen=True)
class Geometry:
    """How the tiles walk: H output rows, and the fields of ``kk_conv`` that say where things lie."""

    H: int
    W: int
    N: int
    K: int
    kh: int
    kw: int
    len: int
    a_row: int
    a_px: int
    a_ky: int
    a_kx: int
    c_row: int
    c_px: int
    r_row: int = 0
    r_px: int = 0

    @classmethod
    def of_matrix(cls, rows: int, inputs: int, outputs: int, c_px: int) -> Geometry:
        """A matrix product of dense rows; c_px: from a row of the result to the next."""
        return cls(
            H=1,
            W=rows,
            N=outputs,
            K=inputs,
            kh=1,
            kw=1,
            len=inputs,
            a_row=rows * inputs,
            a_px=inputs,
            a_ky=0,
            a_kx=0,
            c_row=rows * c_px,
            c_px=c_px,
        )

    @classmethod
    def of_window(cls, source: View, target: View, kernel: tuple[int, ...], window: Window) -> Geometry:
        """A convolution of one group. source, target: (n, c, h, w); kernel: (outputs of the group, inputs, kh, kw)."""
        outputs, inputs, kh, kw = kernel
        (sh, sw), (dh, dw) = window.strides, window.dilations
        _, _, row, px = source.strides
        return cls(
            H=target.shape[2],
            W=target.shape[3],
            N=outputs,
            K=kh * kw * inputs,
            kh=kh,
            kw=kw,
            len=inputs,
            a_row=sh * row,
            a_px=sw * px,
            a_ky=dh * row,
            a_kx=dw * px,
            c_row=target.strides[2],
            c_px=target.strides[3],
        )

    @property
    def flat(self) -> bool:
        """Whether the pixels of all rows are evenly spaced, in each tensor."""
        return all(
            row == self.W * px
            for row, px in ((self.a_row, self.a_px), (self.c_row, self.c_px), (self.r_row, self.r_px))
        )

    def merged(self) -> Geometry:
        """The same with segments joined where they follow each other in memory."""
        kh, kw, length, a_ky, a_kx = self.kh, self.kw, self.len, self.a_ky, self.a_kx
        if kw == 1 or a_kx == length:
            length, kw, a_kx = length * kw, 1, 0
        if kw == 1 and (kh == 1 or a_ky == length):
            length, kh, a_ky = length * kh, 1, 0
        values = dict(self.__dict__) | {"kh": kh, "kw": kw, "len": length, "a_ky": a_ky, "a_kx": a_kx}
        return Geometry(**values)


@dataclass(frozen=True)
class Linear(Rowwise):
    """``repeat`` calls (groups, samples): per call the pointers advance by the strides given, in elements.

    offset: of the first segment from the source's first element. reads beyond the map fall into its halo. window: of a
    convolution, in rows.
    """

    name: str
    source: View
    panels: View
    bias: View
    target: View
    geometry: Geometry
    residual: View | None = None
    low: float = -INFINITY
    high: float = INFINITY
    offset: int = 0
    samples: tuple[int, int, int, int] = (1, 0, 0, 0)
    groups: tuple[int, int, int, int, int] = (1, 0, 0, 0, 0)
    window: Span | None = None

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,) if self.residual is None else (self.source, self.residual)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("conv.h", "conv_short.h") if self.short else ("conv.h",)

    @property
    def short(self) -> bool:
        """Whether ``runtime/conv_short.h`` computes it."""
        g = self.geometry
        return g.K <= SHORT_K and g.W >= SHORT_W and g.H * g.W >= SHORT_PIXELS

    def tiles(self, isa: Isa) -> set[tuple[int, int]]:
        return set() if self.short else linear_tiles(self.geometry, isa)

    def fields(self, geometry: Geometry) -> str:
        """The kernel's constants."""
        values = {name: value for name, value in geometry.__dict__.items() if name != "H"}
        return struct_literal(values | {"flat": int(geometry.flat), "low": self.low, "high": self.high})

    @property
    def span(self) -> Span | None:
        return self.window if self.samples[0] == self.groups[0] == 1 else None

    @property
    def weights_bytes(self) -> int:
        return self.geometry.K * self.geometry.N * 4

    def row_tiles(self, isa: Isa, rows: int) -> set[tuple[int, int]]:
        return set() if self.short else linear_tiles(self.geometry, isa, rows)

    def constants(self, tag: str) -> list[str]:
        residual = pointer(self.residual) if self.residual is not None else "0"
        return [
            f"KK_TABLE kk_conv g{tag} = {self.fields(self.geometry)};",
            f"const float *b{tag} = {pointer(self.panels)}, *bias{tag} = {pointer(self.bias)}, *r{tag} = {residual};",
        ]

    def rows(self, tag: str, a: str, c: str, first: str, count: str) -> list[str]:
        residual = f"r{tag}" if self.residual is None else f"r{tag} + (ptrdiff_t)({first}) * {self.geometry.r_row}"
        return [self._call(tag, f"{a} + {self.offset}", f"b{tag}", f"bias{tag}", residual, c, count)]

    def _call(self, tag: str, *arguments: str) -> str:
        if self.short:
            arguments = (*arguments, str(self.geometry.W), str(self.geometry.N))
        return f"{'kk_short_run' if self.short else 'kk_conv_run'}(&g{tag}, {', '.join(arguments)});"

    def body(self) -> str:
        g = self.geometry
        count, a_sample, c_sample, r_sample = self.samples
        groups, a_group, c_group, b_group, bias_group = self.groups
        lines = [
            *self.constants(""),
            f"const float *a = {pointer(self.source)};",
            f"float *c = {pointer(self.target)};",
        ]
        if (count, groups) == (1, 1):
            return "\n".join([*lines, *self.rows("", "a", "c", "0", str(g.H))])
        r_step = f" + n * {r_sample} + k * {c_group}" if self.residual is not None else ""
        lines += [f"for (ptrdiff_t n = 0; n < {count}; n++)", f"    for (ptrdiff_t k = 0; k < {groups}; k++)"]
        source = f"a + {self.offset} + n * {a_sample} + k * {a_group}"
        weights = f"b + k * {b_group}", f"bias + k * {bias_group}"
        call = self._call("", source, *weights, f"r{r_step}", f"c + n * {c_sample} + k * {c_group}", str(g.H))
        lines.append(f"        {call}")
        return "\n".join(lines)


def linear_tiles(g: Geometry, isa: Isa, rows: int = 0, size_bytes: int = 4) -> set[tuple[int, int]]:
    """The (pixels, vectors) that ``conv.h`` picks for ``rows`` (all) rows of this geometry: the rules of its C.

    size_bytes: of an element of the activation.
    """
    found: set[tuple[int, int]] = set()
    for pixels in _row_lengths(g, isa, rows or g.H, size_bytes):
        wide = pixels <= isa.wide_pixels
        for vectors in _vectors(g.N, isa, 4 if wide else 2):
            most = isa.wide_pixels if vectors == 4 else isa.pixels
            tiles = -(-pixels // most)
            found.add((pixels // tiles, vectors))
            if pixels % tiles:
                found.add((pixels // tiles + 1, vectors))
    return found


def _row_lengths(g: Geometry, isa: Isa, rows: int, size_bytes: int) -> set[int]:
    if not g.flat:
        return {g.W}
    block = max(isa.pixels, (192 * 1024) // size_bytes // g.a_px // isa.pixels * isa.pixels)
    everything = rows * g.W
    return {min(block, everything), everything % block or min(block, everything)}


def _vectors(columns: int, isa: Isa, most: int) -> set[int]:
    found, n, full = set(), 0, columns // 32
    while n < columns:
        panel = n // 32
        if panel == full:
            end = columns
        elif 4 * isa.lanes > 32 and panel + 2 <= full:
            end = n + 64
        else:
            end = (panel + 1) * 32
        vectors = min(-(-(end - n) // isa.lanes), most)
        vectors = 2 if vectors == 3 else vectors
        found.add(vectors)
        n += min(vectors * isa.lanes, end - n)
    return found
