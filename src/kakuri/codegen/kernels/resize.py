"""Resizing of maps: nearest and linear over rows and columns; tables of positions are made at generation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.literals import struct_literal
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.views import View
from kakuri.model.graph import constant, input_of, integer, required_input, static_shape, text
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem

_COORDINATES = frozenset({"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"})
_NEAREST: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@dataclass(frozen=True)
class Resize(Operation):
    """rows, columns: (2 per output) offsets in floats; weights: of the second of each pair."""

    name: str
    source: View
    target: View
    rows: View
    row_weights: View
    columns: View
    column_weights: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.target,)

    @property
    def runtime(self) -> tuple[str, ...]:
        return ("resize.h",)

    def body(self) -> str:
        samples, channels, height, width = self.target.shape
        fields: dict[str, int | float] = {"OH": height, "OW": width, "C": channels}
        fields |= {"c_row": self.target.strides[2], "c_px": self.target.strides[3]}
        tables = ", ".join(pointer(v) for v in (self.rows, self.row_weights, self.columns, self.column_weights))
        return "\n".join(
            [
                f"KK_TABLE kk_resize g = {struct_literal(fields)};",
                f"for (ptrdiff_t n = 0; n < {samples}; n++)",
                f"    kk_resize_run(&g, {pointer(self.source)} + n * {self.source.strides[0]}, {tables},",
                f"        {pointer(self.target)} + n * {self.target.strides[0]});",
            ]
        )


def _lower(walk: Lowering, node: ir.Node) -> None:
    shape = static_shape(required_input(node))
    scales = _scales(node, shape)
    rank = len(shape)
    source = walk.channels_last(walk.view(node)).four_axes()
    target = walk.new(node.outputs[0], last_order(rank)).four_axes()
    tables = []
    for axis in (2, 3):
        scale = scales[axis - (4 - rank)] if rank == 4 or axis == 3 else 1.0
        pairs, weights = positions(node, source.shape[axis], target.shape[axis], scale)
        tables += [walk.weights.add(pairs * np.int32(source.strides[axis])), walk.weights.add(weights)]
    walk.emit(Resize(node.name or "resize", source, target, *tables))


def _scales(node: ir.Node, shape: tuple[int, ...]) -> list[float]:
    """Output over input size per axis, as given or as the sizes say."""
    output = static_shape(node.outputs[0])
    given = constant(input_of(node, 2))
    scales = [new / old for new, old in zip(output, shape, strict=True)]
    if given is not None and given.size:
        axes = [int(a) for a in node.attributes["axes"].as_ints()] if "axes" in node.attributes else range(len(shape))
        for axis, scale in zip(axes, given.reshape(-1), strict=True):
            scales[axis] = float(scale)
    return scales


def positions(node: ir.Node, size: int, wanted: int, scale: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Per output position: the two input positions (wanted, 2), and the weight of the second (wanted,)."""
    x = np.arange(wanted, dtype=np.float32)
    mode = text(node, "coordinate_transformation_mode", "half_pixel")
    factor = np.float32(scale)
    if mode == "align_corners":
        at = x * np.float32(size - 1) / np.float32(wanted - 1) if wanted > 1 else x * 0
    elif mode == "asymmetric":
        at = x / factor
    elif mode == "pytorch_half_pixel" and wanted == 1:
        at = x * 0
    else:
        at = (x + np.float32(0.5)) / factor - np.float32(0.5)
        if mode == "half_pixel_symmetric":
            at += np.float32(size / 2 * (1 - wanted / (factor * size)))
    if text(node, "mode", "nearest") == "nearest":
        chosen = _NEAREST[text(node, "nearest_mode", "round_prefer_floor")](at)
        index = np.clip(chosen, 0, size - 1).astype(np.int32)
        return np.stack([index, index], 1), np.zeros(wanted, np.float32)
    at = np.clip(at, 0, size - 1)
    first = np.floor(at).astype(np.int32)
    second = np.minimum(first + 1, size - 1).astype(np.int32)
    return np.stack([first, second], 1), (at - first).astype(np.float32)


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    shape, output = static_shape(required_input(node)), static_shape(node.outputs[0])
    mode, coordinates = text(node, "mode", "nearest"), text(node, "coordinate_transformation_mode", "half_pixel")
    if len(shape) not in (3, 4) or shape[:2] != output[:2]:
        yield problem(node, "KK-G17", Severity.NOT_YET, "resizes other axes than rows and columns", "")
    if mode not in ("nearest", "linear"):
        yield problem(node, "KK-G17", Severity.NOT_YET, f"interpolates in mode {mode}", "nearest and linear work")
    if coordinates not in _COORDINATES:
        yield problem(
            node, "KK-G17", Severity.NOT_YET, f"uses coordinates {coordinates}", ", ".join(sorted(_COORDINATES))
        )
    if integer(node, "antialias", 0) or integer(node, "exclude_outside", 0):
        yield problem(
            node, "KK-G17", Severity.NOT_YET, "filters while it shrinks", "set antialias=0, exclude_outside=0"
        )


KERNELS = (Kernel("Resize", _lower, _check),)
