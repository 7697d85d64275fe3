"""Quantised convolution over one or two axes; one channel per group goes to ``depthwise``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kakuri.codegen.ahead import window_pads
from kakuri.codegen.kernels.conv import two
from kakuri.codegen.kernels.depthwise import Window
from kakuri.codegen.kernels.integer import depthwise
from kakuri.codegen.kernels.integer.dot import QUAD, Dot, dot_panels
from kakuri.codegen.kernels.integer.kernel import IntegerKernel, name_of, operand_view, output, point
from kakuri.codegen.kernels.integer.levels import levels_of
from kakuri.codegen.kernels.integer.signed import bias_of, centred_weights, signed_weights
from kakuri.codegen.kernels.linear import Geometry
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.views import Kind, View
from kakuri.model.graph import constant, integer, ints, static_shape
from kakuri.model.quantized import Region
from kakuri.model.quantized.kernels.common import core

Int64 = NDArray[np.int64]


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
    signed = signed_weights(region)
    weights = signed.weights if signed.weights.ndim == 4 else signed.weights[:, :, None]
    channels, inputs, kh, kw = weights.shape
    each = channels // group
    top, left = window.pads
    _, _, row, px = source.strides
    geometry = Geometry.of_window(source, target, (each, inputs, kh, kw), window).merged()
    matrices = [
        dot_panels(part.transpose(2, 3, 1, 0).reshape(geometry.kh * geometry.kw, geometry.len, each))
        for part in np.split(weights, group)
    ]
    start, largest = first_sums(region, weights.reshape(channels, -1), signed.zero)
    return Dot(
        name_of(region),
        source,
        walk.weights.add(np.concatenate(matrices)),
        levels_of(walk, region, start, largest, group),
        target,
        geometry,
        signed.zero,
        -top * row - left * px,
        (source.shape[0], source.strides[0], target.strides[0]),
        (group, inputs, each, len(matrices[0])),
    )


def first_sums(region: Region, weights: Int64, zero: int) -> tuple[Int64, int]:
    """What the sums start from, (channels,), so that the zero points are accounted for; and a bound of every |sum|.

    weights: (channels, taps), signed; their zero point's part that depends on the activation comes later.
    """
    start = bias_of(region, len(weights))
    middle = point(region.operand(0))
    start = start - middle * weights.sum(axis=1) + weights.shape[1] * middle * zero
    reach = 255 * (np.abs(weights).sum(axis=1) + weights.shape[1] * abs(zero))
    return start, int((np.abs(start) + reach).max())


def check_weights(region: Region) -> Iterable[str]:
    """Weights and bias are stored; one zero point for all of them unless what is left fits 8 bits."""
    if constant(region.operand(1).value) is None:
        yield "has weights that are computed"
        return
    bias = region.inputs[2] if len(region.inputs) > 2 else None
    if bias is not None and constant(bias.value) is None:
        yield "has a bias that is computed"
    points = region.operand(1).zero_point
    if (points != points[0]).any() and np.abs(centred_weights(region)).max() > 127:
        yield "has a zero point per channel"


def _check(region: Region) -> Iterable[str]:
    yield from check_weights(region)
    if len(static_shape(region.operand(0).value)) not in (3, 4):
        yield "convolves over more than two axes"
    elif min(ints(core(region), "pads", (0,))) < 0:
        yield "has negative pads"


KERNELS = (IntegerKernel("Conv", _lower, _check),)
