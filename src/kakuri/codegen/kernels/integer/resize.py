"""Quantised bilinear Resize: ``runtime/level_resize.h``; the source uses float32 for uint8, 10-bit shares for int8."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kakuri.codegen.kernels.integer.kernel import IntegerKernel, name_of, operand_view, output
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import static_shape, text
from kakuri.model.quantized import Region
from kakuri.model.quantized.kernels.common import core, is_unsigned
from kakuri.model.quantized.kernels.resizing import places

_LANES = 16  # of the longest vectors


@dataclass(frozen=True)
class LevelResize(Operation):
    """rows, columns: int32 (outputs, 2) places, rows in bytes; shares of the second ones, float32 or in 1/1024."""

    name: str
    source: View
    target: View
    rows: tuple[View, View]
    columns: tuple[View, View]
    in_float: bool

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "level_resize.h")

    @property
    def scratch_bytes(self) -> int:
        """Two rows of the source in float32."""
        return 2 * 4 * self.source.shape[3] * (-(-self.source.shape[1] // _LANES) * _LANES) if self.in_float else 0

    def body(self) -> str:
        samples, channels, height, width = self.target.shape
        values = {"W": self.source.shape[3], "a_px": self.source.strides[3], "OH": height, "OW": width, "C": channels}
        values |= {"c_row": self.target.strides[2], "c_px": self.target.strides[3]}
        listed = ", ".join(f".{name} = {value}" for name, value in values.items())
        tables = ", ".join(pointer(v) for v in (*self.rows, *self.columns)) + (", (float *)S" if self.in_float else "")
        return "\n".join(
            [
                f"KK_TABLE kk_level_resize g = {{{listed}}};",
                f"for (ptrdiff_t n = 0; n < {samples}; n++)",
                f"    kk_level_resize_{'float' if self.in_float else 'integer'}(",
                f"        &g, {pointer(self.source)} + n * {self.source.strides[0]}, {tables},",
                f"        {pointer(self.target)} + n * {self.target.strides[0]});",
            ]
        )


def _lower(walk: Lowering, region: Region) -> None:
    mode = text(core(region), "coordinate_transformation_mode", "half_pixel")
    unsigned = is_unsigned(region)
    source = walk.channels_last(operand_view(walk, region))
    target = output(walk, region, last_order(4))
    tables: list[View] = []
    for axis in (2, 3):
        low, high, share = places(source.shape[axis], target.shape[axis], mode, unsigned=unsigned)
        pairs = np.stack([low, high], 1) * (source.strides[axis] if axis == 2 else 1)
        tables += [walk.weights.add(pairs.astype(np.int32))]
        tables += [walk.weights.add(share.astype(np.float32 if unsigned else np.int32))]
    walk.emit(LevelResize(name_of(region), source, target, (tables[0], tables[1]), (tables[2], tables[3]), unsigned))


def _check(region: Region) -> Iterable[str]:
    if text(core(region), "mode", "nearest") != "linear" or len(static_shape(region.operand(0).value)) != 4:
        yield "resizes otherwise than bilinearly over rows and columns"


KERNELS = (IntegerKernel("Resize", _lower, _check),)
