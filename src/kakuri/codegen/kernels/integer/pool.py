"""Quantised AveragePool, ReduceMean and ReduceSum over rows and columns: ``runtime/level_pool.h``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kakuri.codegen.ahead import window_pads
from kakuri.codegen.kernels.conv import two
from kakuri.codegen.kernels.integer.kernel import IntegerKernel, bounds, lift, name_of, operand_view, output, point
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import constant, input_of, integer, ints, static_shape
from kakuri.model.quantized import Region
from kakuri.model.quantized.fixed_point import quantize_multiplier
from kakuri.model.quantized.kernels.common import core


@dataclass(frozen=True)
class LevelPool(Operation):
    """fields: of ``kk_level_pool``. multiplier: (significand, shift) of the sums, None for the mean of the integers."""

    name: str
    source: View
    target: View
    fields: tuple[tuple[str, int], ...]
    multiplier: tuple[int, int] | None

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("levels.h", "level_pool.h")

    def body(self) -> str:
        samples, channels, height, width = self.source.shape
        values: dict[str, int] = {"H": height, "W": width, "OH": self.target.shape[2], "OW": self.target.shape[3]}
        values |= {"C": channels, "a_row": self.source.strides[2], "a_px": self.source.strides[3]}
        values |= {"c_row": self.target.strides[2], "c_px": self.target.strides[3], **dict(self.fields)}
        significand, shift = self.multiplier or (0, 0)
        values |= {"significand": significand, "shift": shift, "mean": int(self.multiplier is None)}
        listed = ", ".join(f".{name} = {value}" for name, value in values.items())
        return "\n".join(
            [
                f"KK_TABLE kk_level_pool g = {{{listed}}};",
                f"for (ptrdiff_t n = 0; n < {samples}; n++)",
                f"    kk_level_pool_run(&g, {pointer(self.source)} + n * {self.source.strides[0]},",
                f"                      {pointer(self.target)} + n * {self.target.strides[0]});",
            ]
        )


def _average(walk: Lowering, region: Region) -> None:
    node = core(region)
    rank = len(static_shape(region.operand(0).value))
    pads = window_pads(node, rank)
    kernel, strides = two(ints(node, "kernel_shape")), two(ints(node, "strides", (1,) * (rank - 2)))
    source = walk.channels_last(operand_view(walk, region)).four_axes()
    target = output(walk, region, last_order(rank)).four_axes()
    low, high = bounds(region)
    fields = {"kh": kernel[0], "kw": kernel[1], "sh": strides[0], "sw": strides[1], "top": pads[0], "left": pads[2]}
    fields |= {"less": lift(region.operand(0).value), "more": lift(region.output.value), "low": low, "high": high}
    walk.emit(LevelPool(name_of(region), source, target, tuple(fields.items()), None))


def _reduce(walk: Lowering, region: Region) -> None:
    """One window over the reduced axes; a mean has the count in its multiplier."""
    node, whole = core(region), operand_view(walk, region)
    kept, gone = _axes(region)
    source = walk.channels_last(_four(whole, kept, gone))
    height, width = source.shape[2:]
    significand, shift = quantize_multiplier(_ratio(region))
    if node.op_type == "ReduceMean":
        count = height * width
        extra = min(count.bit_length() - 1, 32, 31 + shift)
        significand, shift = (significand << extra) // count, shift - extra
    target = output(walk, region, tuple(range(len(static_shape(region.output.value)))))
    places = kept if len(target.shape) == len(whole.shape) else tuple(range(len(kept)))
    seen = _four(target, places, ())
    low, high = bounds(region)
    fields = {"kh": height, "kw": width, "sh": 1, "sw": 1, "top": 0, "left": 0}
    fields |= {"less": point(region.operand(0)), "more": point(region.output), "low": low, "high": high}
    walk.emit(LevelPool(name_of(region), source, seen, tuple(fields.items()), (significand, shift)))


def _axes(region: Region) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that a reduction keeps, and those that it does not."""
    rank = len(static_shape(region.operand(0).value))
    listed = constant(input_of(core(region), 1))
    gone = set() if listed is None else {int(axis) % rank for axis in listed.reshape(-1)}
    return tuple(axis for axis in range(rank) if axis not in gone), tuple(sorted(gone))


def _four(view: View, outer: tuple[int, ...], inner: tuple[int, ...]) -> View:
    """``view`` as (samples, channels, rows, columns), at most two axes each."""
    chosen = [*(None,) * (2 - len(outer)), *outer, *(None,) * (2 - len(inner)), *inner]
    shape = tuple(1 if axis is None else view.shape[axis] for axis in chosen)
    return View(view.storage, view.offset, shape, tuple(0 if axis is None else view.strides[axis] for axis in chosen))


def _ratio(region: Region) -> float:
    return float(region.operand(0).scale[0].astype("f8") / region.output.scale[0].astype("f8"))


def _check_reduce(region: Region) -> Iterable[str]:
    kept, gone = _axes(region)
    sizes = static_shape(region.operand(0).value)
    some = [axis for axis in kept if sizes[axis] > 1]
    if constant(input_of(core(region), 1)) is None or not 1 <= len(gone) <= 2 or len(kept) > 2:
        yield f"reduces {len(gone)} of {len(sizes)} axes; one or two work when at most two are left"
    elif some and some[-1] != kept[-1]:
        yield "keeps a last axis of size 1 after a larger one"


def _check_average(region: Region) -> Iterable[str]:
    if len(static_shape(region.operand(0).value)) not in (3, 4):
        yield "pools over more than two axes"
    if integer(core(region), "count_include_pad", 0):
        yield "counts its padding"


KERNELS = (
    IntegerKernel("AveragePool", _average, _check_average),
    IntegerKernel("ReduceMean", _reduce, _check_reduce),
    IntegerKernel("ReduceSum", _reduce, _check_reduce),
)
