"""Convolution over one or two axes, with groups and dilation; one channel per group goes to ``depthwise``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri.codegen.ahead import window_pads
from kakuri.codegen.kernels import depthwise
from kakuri.codegen.kernels.kernel import Kernel
from kakuri.codegen.kernels.linear import Geometry, Linear
from kakuri.codegen.lowering import Lowering, last_order
from kakuri.codegen.rowwise import Span
from kakuri.codegen.views import View
from kakuri.codegen.weights import PANEL, ROUND, panels
from kakuri.model.graph import constant, input_of, integer, ints, required_input, static_shape
from kakuri.model.report import ModelProblem, Severity
from kakuri.model.support import problem

Float32 = NDArray[np.float32]


def _lower(walk: Lowering, node: ir.Node) -> None:
    weight, bias = _parameters(walk, node)
    rank = len(static_shape(required_input(node)))
    group = integer(node, "group", 1)
    strides, dilations = two(ints(node, "strides", (1,) * (rank - 2))), two(ints(node, "dilations", (1,) * (rank - 2)))
    pads = window_pads(node, rank)
    source = walk.channels_last(walk.view(node), pads).four_axes()
    tail = walk.tail(node, last_order(rank))
    target = walk.new(tail.output, last_order(rank)).four_axes()
    residual = tail.residual.four_axes() if tail.residual is not None else None
    window = depthwise.Window(weight.shape[2:], strides, dilations, (pads[0], pads[2]))
    name = node.name or "conv"
    if group == weight.shape[0] == source.shape[1] > 1 and residual is None:
        depthwise.emit(walk, name, source, target, weight=weight, bias=bias, window=window, tail=tail)
        return
    walk.emit(
        _linear(
            walk,
            name,
            source,
            target,
            residual=residual,
            weight=weight,
            bias=bias,
            group=group,
            window=window,
            limits=(tail.low, tail.high),
        )
    )


def _parameters(walk: Lowering, node: ir.Node) -> tuple[Float32, Float32]:
    """Weights (out, in / group, height, width) and bias (out,), float32."""
    weight = np.asarray(walk.constant(node, 1), np.float32)
    bias = walk.constant(node, 2)
    if weight.ndim == 3:
        weight = weight[:, :, None]
    return weight, np.zeros(len(weight), np.float32) if bias is None else np.asarray(bias, np.float32)


def _linear(
    walk: Lowering,
    name: str,
    source: View,
    target: View,
    *,
    residual: View | None,
    weight: Float32,
    bias: Float32,
    group: int,
    window: depthwise.Window,
    limits: tuple[float, float],
) -> Linear:
    outputs, inputs, kh, kw = weight.shape
    per_group = outputs // group
    top, left = window.pads
    _, _, row, px = source.strides
    r_row, r_px = (residual.strides[2], residual.strides[3]) if residual is not None else (0, 0)
    geometry = Geometry.of_window(source, target, (per_group, inputs, kh, kw), window)
    geometry = replace(geometry, r_row=r_row, r_px=r_px).merged()
    matrices = [panels(part.transpose(2, 3, 1, 0).reshape(-1, per_group)) for part in np.split(weight, group)]
    spaced = -(-per_group // PANEL) * PANEL if group > 1 else per_group
    biases = np.zeros((group, max(spaced, ROUND)), np.float32)
    biases[:, :per_group] = bias.reshape(group, per_group)
    return Linear(
        name,
        source,
        walk.weights.add(np.concatenate(matrices)),
        walk.weights.add(biases),
        target,
        geometry,
        residual,
        *limits,
        offset=-top * row - left * px,
        samples=(
            source.shape[0],
            source.strides[0],
            target.strides[0],
            residual.strides[0] if residual is not None else 0,
        ),
        groups=(group, inputs, per_group, len(matrices[0]), biases.shape[1]),
        window=Span(window.strides[0], window.dilations[0] * (kh - 1) + 1, top),
    )


def two(numbers: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of a window attribute of one or two axes."""
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def check_weights(node: ir.Node) -> Iterable[ModelProblem]:
    for index, what in ((1, "weights"), (2, "a bias")):
        if input_of(node, index) is not None and constant(input_of(node, index)) is None:
            yield problem(node, "KK-G10", Severity.NOT_YET, f"has {what} that are computed", "make them constant")


def _check(node: ir.Node) -> Iterable[ModelProblem]:
    yield from check_weights(node)
    rank = len(static_shape(required_input(node)))
    if rank not in (3, 4):
        yield problem(node, "KK-G13", Severity.NOT_YET, f"convolves over {rank - 2} axes", "one or two axes work")
    elif min(ints(node, "pads", (0,))) < 0:
        yield problem(node, "KK-G13", Severity.NOT_YET, "has negative pads", "crop the input first")


KERNELS = (Kernel("Conv", _lower, _check),)
