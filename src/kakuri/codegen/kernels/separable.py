"""A depthwise convolution and the pointwise one that reads it, block by block of rows: what lies between them never
leaves the cache, and needs no memory of its own in the arena."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kakuri.codegen.kernels.depthwise import Depthwise
from kakuri.codegen.kernels.linear import Geometry, Linear, linear_tiles
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.targets import Isa
from kakuri.codegen.views import Storage, View

_SMALL_BLOCK_BYTES, _LARGE_BLOCK_BYTES = 32 << 10, 256 << 10
_MANY_WEIGHTS_BYTES = 1 << 20  # weights beyond this are read from far away: read them for more rows at once


@dataclass(frozen=True)
class Separable(Operation):
    """first writes what second reads, and nobody else does; one sample."""

    name: str
    first: Depthwise
    second: Linear

    @property
    def between(self) -> Storage:
        """What the pair no longer needs."""
        return self.first.target.storage

    @property
    def reads(self) -> tuple[View, ...]:
        residual = self.second.residual
        return (self.first.source,) if residual is None else (self.first.source, residual)

    @property
    def writes(self) -> tuple[View, ...]:
        return self.second.writes

    @property
    def runtime(self) -> tuple[str, ...]:
        return (*self.first.runtime, *self.second.runtime)

    @property
    def definitions(self) -> tuple[str, ...]:
        return self.first.definitions

    @property
    def scratch_bytes(self) -> int:
        return self.block * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        _, channels, _, width = self.first.target.shape
        return channels * width * 4

    @property
    def block(self) -> int:
        """Rows computed at once."""
        g = self.second.geometry
        size = _LARGE_BLOCK_BYTES if g.K * g.N * 4 > _MANY_WEIGHTS_BYTES else _SMALL_BLOCK_BYTES
        return max(1, min(g.H, size // self._row_bytes))

    @property
    def geometry(self) -> Geometry:
        """The pointwise geometry with its rows in scratch memory, one after another."""
        channels = self.first.target.shape[1]
        return replace(self.second.geometry, a_row=self.first.target.shape[3] * channels, a_px=channels)

    def tiles(self, isa: Isa) -> set[tuple[int, int]]:
        found = linear_tiles(self.geometry, isa, self.block)
        rest = self.geometry.H % self.block
        return found | linear_tiles(self.geometry, isa, rest) if rest else found

    def body(self) -> str:
        first, second, g = self.first, self.second, self.geometry
        residual = pointer(second.residual) if second.residual is not None else "0"
        step = f"r + h * {g.r_row}" if second.residual is not None else "r"
        return "\n".join(
            [
                f"KK_TABLE kk_depthwise d = {first.fields(g.a_px)};",
                f"KK_TABLE kk_conv g = {second.fields(g)};",
                f"const float *a = {first.first_tap()}, *taps = {pointer(first.weight)};",
                f"const float *b = {pointer(second.panels)}, *bias = {pointer(second.bias)}, *r = {residual};",
                f"float *c = {pointer(second.target)}, *rows = (float *)S;",
                f"for (ptrdiff_t h = 0; h < {g.H}; h += {self.block}) {{",
                f"    int count = {g.H} - h < {self.block} ? {g.H} - h : {self.block};",
                "    for (ptrdiff_t i = 0; i < count; i++)",
                f"        {first.window.function}(&d, a + (h + i) * {first.row_step}, taps, {pointer(first.bias)},",
                f"            rows + i * {g.a_row});",
                f"    kk_conv_run(&g, rows, b, bias, {step}, c + h * {g.c_row}, count);",
                "}",
            ]
        )


def separable(first: Operation, second: Operation) -> Separable | None:
    """The pair as one, when ``second`` is a pointwise convolution of stride 1 over exactly what ``first`` computes."""
    if not isinstance(first, Depthwise) or not isinstance(second, Linear) or second.offset:
        return None
    view, seen, g = first.target, second.source, second.geometry
    same = (view.storage, view.offset, view.shape) == (seen.storage, seen.offset, seen.shape)
    pointwise = g.kh == g.kw == 1 and g.K == g.len == view.shape[1] and view.shape[2:] == (g.H, g.W)
    one = second.samples[0] == second.groups[0] == 1
    return (
        Separable(f"{first.name}, {second.name}", first, second)
        if same and pointwise and one and g.a_px == view.strides[3]
        else None
    )
