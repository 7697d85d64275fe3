"""Quantised convolution over one or two axes; one channel per group goes to ``depthwise``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kakuri.codegen.ahead import window_pads
from kakuri.codegen.kernels.conv import two
from kakuri.codegen.kernels.depthwise import Window
from kakuri.codegen.kernels.integer import depthwise
from kakuri.codegen.kernels.integer.dot import Dot, dot_weights
from kakuri.codegen.kernels.integer.kernel import IntegerKernel, name_of, operand_view, output, point
from kakuri.codegen.kernels.integer.levels import levels_of
from kakuri.codegen.kernels.integer.rest import QUAD
from kakuri.codegen.kernels.integer.signed import centred_weights, first_sums
from kakuri.codegen.kernels.linear import Geometry
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.views import Kind, View
from kakuri.model.graph import constant, integer, ints, static_shape
from kakuri.model.quantized import Region
from kakuri.model.quantized.kernels.common import core


def _lower(walk: Lowering, region: Region) -> None:
    node = core(region)
    rank = len(static_shape(region.operand(0).value))
    kernel = static_shape(region.operand(1).value)[2:]
    pads = window_pads(node, rank)
    source = walk.channels_last(operand_view(walk, region), pads, point(region.operand(0))).four_axes()
    window = Window(
        (1, *kernel) if rank == 3 else kernel,
        two(ints(node, "strides", (1,) * (rank - 2))),
        two(ints(node, "dilations", (1,) * (rank - 2))),
        (pads[0], pads[2]),
    )
    group = integer(node, "group", 1)
    channels = static_shape(region.output.value)[1]
    if group == channels == source.shape[1] > 1:
        target = output(walk, region, last_order(rank)).four_axes()
        depthwise.emit(walk, region, source, target, window)
        return
    if source.storage.kind is Kind.INPUT and source.shape[1] % QUAD:
        source = walk.arranged(source, last_order(4))  # the caller's memory may end where the map ends
    target = output(walk, region, last_order(rank)).four_axes()
    walk.emit(_dot(walk, region, source, target, window))


def _dot(walk: Lowering, region: Region, source: View, target: View, window: Window) -> Dot:
    group = integer(core(region), "group", 1)
    centred = centred_weights(region)
    weights = centred if centred.ndim == 4 else centred[:, :, None]
    channels, inputs, kh, kw = weights.shape
    each = channels // group
    top, left = window.pads
    _, _, row, px = source.strides
    geometry = Geometry.of_window(source, target, (each, inputs, kh, kw), window).merged()
    matrices = [
        part.transpose(2, 3, 1, 0).reshape(geometry.kh * geometry.kw, geometry.len, each)
        for part in np.split(weights, group)
    ]
    panels, rest, share = dot_weights(walk, matrices, geometry)
    start, largest = first_sums(region, weights.reshape(channels, -1))
    return Dot(
        name_of(region),
        source,
        panels,
        levels_of(walk, region, start, largest, group),
        target,
        geometry,
        rest,
        -top * row - left * px,
        (source.shape[0], source.strides[0], target.strides[0]),
        (group, inputs, each, share),
    )


def check_weights(region: Region) -> Iterable[str]:
    """Weights and bias are stored."""
    if constant(region.operand(1).value) is None:
        yield "has weights that are computed"
        return
    bias = region.inputs[2] if len(region.inputs) > 2 else None
    if bias is not None and constant(bias.value) is None:
        yield "has a bias that is computed"


def _check(region: Region) -> Iterable[str]:
    yield from check_weights(region)
    if len(static_shape(region.operand(0).value)) not in (3, 4):
        yield "convolves over more than two axes"
    elif min(ints(core(region), "pads", (0,))) < 0:
        yield "has negative pads"


KERNELS = (IntegerKernel("Conv", _lower, _check),)
