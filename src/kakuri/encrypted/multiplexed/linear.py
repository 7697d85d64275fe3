"""Convolutions, dense layers and pools as one kind of sparse matrix.

Purpose: y[o, p] = bias[o] + sum over c and taps t of weight[o, c, t] * x[c, taps[t, p]], where taps is -1 on padding.
Guarantees: exact for strides, padding, dilation and groups; a dense layer is a convolution with one output position.
Source: the index arithmetic of ONNX Conv, AveragePool and Gemm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.multiplexed.layout import IntArray
from kakuri.encrypted.network import Convolution, Dense, Pool

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """weight: (outputs, inputs, taps). taps: (taps, output positions) input position or -1. bias: (outputs,)."""

    weight: Float64
    taps: IntArray
    bias: Float64
    grid: tuple[int, int]
    input_grid: tuple[int, int]


def window(
    grid: tuple[int, int],
    out_grid: tuple[int, int],
    *,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int] = (1, 1),
) -> IntArray:
    """(kernel positions, output positions): input position under each tap, -1 on padding."""
    rows = np.arange(out_grid[0])[None] * strides[0] - pads[0] + dilations[0] * np.arange(kernel[0])[:, None]
    columns = np.arange(out_grid[1])[None] * strides[1] - pads[1] + dilations[1] * np.arange(kernel[1])[:, None]
    rows = np.where((rows >= 0) & (rows < grid[0]), rows, -1)
    columns = np.where((columns >= 0) & (columns < grid[1]), columns, -1)
    place = rows[:, None, :, None] * grid[1] + columns[None, :, None, :]
    place = np.where((rows[:, None, :, None] < 0) | (columns[None, :, None, :] < 0), -1, place)
    return place.reshape(kernel[0] * kernel[1], out_grid[0] * out_grid[1])


def linear_of(layer: Convolution | Dense | Pool, channels: int, grid: tuple[int, int]) -> Linear:
    """``layer`` on an input of ``channels`` and ``grid``."""
    if isinstance(layer, Dense):
        positions = grid[0] * grid[1]
        weight = layer.weight.reshape(len(layer.weight), channels, positions)
        return Linear(weight, np.arange(positions)[:, None], layer.bias, (1, 1), grid)
    out_grid = (layer.shape[1], layer.shape[2])
    if isinstance(layer, Convolution):
        kernel = (layer.weight.shape[2], layer.weight.shape[3])
        taps = window(grid, out_grid, kernel=kernel, strides=layer.strides, pads=layer.pads, dilations=layer.dilations)
        weight = layer.weight.reshape(*layer.weight.shape[:2], -1)
        return Linear(weight, taps, layer.bias, out_grid, grid)
    taps = window(grid, out_grid, kernel=layer.kernel, strides=layer.strides, pads=layer.pads)
    weight = np.zeros((channels, channels, len(taps)))
    weight[np.arange(channels), np.arange(channels)] = 1.0 / layer.divisor
    return Linear(weight, taps, np.zeros(channels), out_grid, grid)


def after_pool(dense: Linear, pool: Pool, channels: int, grid: tuple[int, int]) -> Linear:
    """The dense layer ``dense`` on the pooled map, as a dense layer on the map before the pool."""
    taps = window(grid, (pool.shape[1], pool.shape[2]), kernel=pool.kernel, strides=pool.strides, pads=pool.pads)
    positions = grid[0] * grid[1]
    weight = np.zeros((len(dense.weight), channels, positions + 1))
    for row in taps:
        real, to = np.unique(row, return_inverse=True)
        summed = np.zeros((*weight.shape[:2], len(real)))
        for i, column in enumerate(to):
            summed[:, :, column] += dense.weight[:, :, i] / pool.divisor
        weight[:, :, real] += summed
    return Linear(weight[:, :, :positions], np.arange(positions)[:, None], dense.bias, (1, 1), grid)


def im2col(linear: Linear) -> Linear:
    """The same outputs as a layer without taps on virtual channels (c, tap) at the output's positions."""
    outputs, inputs, taps = linear.weight.shape
    positions = np.arange(linear.taps.shape[1])[None]
    return replace(
        linear, weight=linear.weight.reshape(outputs, inputs * taps, 1), taps=positions, input_grid=linear.grid
    )


def identity(channels: int, grid: tuple[int, int]) -> Linear:
    """Moves a tensor from one layout to another."""
    weight = np.eye(channels)[:, :, None]
    return Linear(weight, np.arange(grid[0] * grid[1])[None], np.zeros(channels), grid, grid)
