"""Batch-axis packing: one ciphertext per element, one sample per slot.

Purpose: throughput. Up to N samples are answered at once; no rotations are needed at all.
Guarantees: the operation counts of S4 table 4.1 (taps that fall on padding cost nothing).
Does not guarantee: latency; a layer costs OC IC KH KW OH OW products whether one slot is used or all.
Source: S4 section 4.1; Dowlin et al. (CryptoNets), ICML 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import CONJUGATE_INVARIANT
from kakuri.encrypted.network import Convolution, Dense, Network, Polynomial, Pool
from kakuri.encrypted.packings.polynomial import emit_polynomial
from kakuri.encrypted.wire import IntArray, WireLayout


@dataclass(frozen=True)
class Elements:
    """registers: int64 array of the feature map's shape; each register holds one element of every sample."""

    registers: IntArray


@dataclass(frozen=True)
class _Window:
    """Which taps of a kernel fall inside the image at one output position, and where."""

    taps: tuple[slice, slice]
    rows: IntArray
    columns: IntArray


def _inside(places: IntArray, size: int) -> tuple[slice, IntArray]:
    """Taps whose place lies in [0, size), and those places."""
    inside = np.flatnonzero((places >= 0) & (places < size))
    taps = slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
    return taps, places[inside]


def _window(layer: Convolution | Pool, y: int, x: int, size: tuple[int, ...]) -> _Window:
    """size: height and width of the input."""
    kernel, dilations = (
        (layer.weight.shape[2:], layer.dilations) if isinstance(layer, Convolution) else (layer.kernel, (1, 1))
    )
    places = [
        position * layer.strides[axis] - layer.pads[axis] + dilations[axis] * np.arange(kernel[axis])
        for axis, position in enumerate((y, x))
    ]
    (rows_taps, rows), (columns_taps, columns) = (_inside(p, s) for p, s in zip(places, size, strict=True))
    return _Window((rows_taps, columns_taps), rows, columns)


class BatchAxis:
    """See the module head."""

    name = "batch"
    ring = CONJUGATE_INVARIANT  # twice the samples of the standard ring at the same price

    def check(self, network: Network, slots: int) -> None:
        """Every supported layer fits: a ciphertext holds one element."""

    def begin(self, builder: Builder, network: Network) -> Elements:
        count = int(np.prod(network.input_shape))
        return Elements(np.array([builder.input() for _ in range(count)]).reshape(network.input_shape))

    def convolution(self, builder: Builder, x: Elements, layer: Convolution, magnitude: float) -> Elements:
        out = np.empty(layer.shape, dtype=np.int64)
        slices: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for oy in range(layer.shape[1]):
            for ox in range(layer.shape[2]):
                window = _window(layer, oy, ox, x.registers.shape[1:])
                (rows, columns) = window.taps
                key = (rows.start, rows.stop, columns.start, columns.stop)
                if key not in slices:
                    slices[key] = np.ascontiguousarray(layer.weight[:, :, rows, columns].reshape(len(layer.weight), -1))
                sources = x.registers[:, window.rows[:, None], window.columns[None, :]].reshape(-1)
                out[:, oy, ox] = self._combine(builder, sources, slices[key], layer.bias, magnitude)
        return Elements(out)

    def dense(self, builder: Builder, x: Elements, layer: Dense, magnitude: float) -> Elements:
        return Elements(self._combine(builder, x.registers.reshape(-1), layer.weight, layer.bias, magnitude))

    def _combine(
        self,
        builder: Builder,
        sources: IntArray,
        weight: NDArray[np.float64],
        bias: NDArray[np.float64],
        magnitude: float,
    ) -> IntArray:
        registers = builder.linear([int(s) for s in sources], weight, magnitude, None)
        scaled = [builder.rescale(r, "linear") for r in registers]
        return np.array([builder.add_scalar(r, float(b)) if b else r for r, b in zip(scaled, bias, strict=True)])

    def pool(self, builder: Builder, x: Elements, layer: Pool, magnitude: float) -> Elements:
        channels = len(x.registers)
        out = np.empty(layer.shape, dtype=np.int64)
        for c in range(channels):
            for oy in range(layer.shape[1]):
                for ox in range(layer.shape[2]):
                    window = _window(layer, oy, ox, x.registers.shape[1:])
                    sources = x.registers[c, window.rows[:, None], window.columns[None, :]].reshape(-1)
                    total = builder.add_many([int(s) for s in sources])
                    if layer.divisor != 1.0:
                        total = builder.rescale(
                            builder.multiply_scalar(total, 1.0 / layer.divisor, magnitude * layer.divisor), "linear"
                        )
                    out[c, oy, ox] = total
        return Elements(out)

    def polynomial(self, builder: Builder, x: Elements, layer: Polynomial, magnitude: float) -> Elements:
        out = [
            emit_polynomial(
                builder, int(r), layer.coefficients, magnitude, lambda s, c: builder.add_scalar(s, c) if c else s
            )
            for r in x.registers.reshape(-1)
        ]
        return Elements(np.array(out).reshape(x.registers.shape))

    def add(self, builder: Builder, xs: list[Elements], magnitude: float) -> Elements:
        columns = zip(*(x.registers.reshape(-1) for x in xs), strict=True)
        out = [builder.add_many(builder.align([int(r) for r in column], magnitude)) for column in columns]
        return Elements(np.array(out).reshape(xs[0].registers.shape))

    def flatten(self, x: Elements) -> Elements:
        return Elements(x.registers.reshape(-1))

    def registers(self, x: Elements) -> list[int]:
        return [int(r) for r in x.registers.reshape(-1)]

    def wire(self, x: Elements) -> WireLayout:
        count = x.registers.size
        return WireLayout(
            x.registers.shape, count, np.arange(count), np.zeros(count, dtype=np.int64), np.arange(count), batched=True
        )

    def depth_first(self) -> bool:
        return True
