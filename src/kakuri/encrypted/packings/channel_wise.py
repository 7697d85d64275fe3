"""Channel-wise packing: one ciphertext per channel of one image.

Purpose: latency. A convolution is a sum over taps of rotated channels times weights, all pixels of a channel at once.
Guarantees: the operation counts of S4 table 4.1 and of its table 5.9, identity rotations included (they are counted
apart). Strides leave gaps between valid slots instead of moving data.
Does not guarantee: few rotations; the multiplexed packing does better.
Source: S4 section 4.1; Dathathri et al. (CHET), PLDI 2019.

How zeros are kept where a later layer needs them
- Weights of one output share one mask (1 on valid slots), so mask * sum(w * rotated) is the sum of products with masked
  weight plaintexts, computed with scalars: the same answer, without a plaintext per weight.
- Rows are separated by a gutter of zeros as wide as the widest padding, so a padded tap reads zero.
- A pooled map is exact on its valid slots and in the gutter, and garbage between them (``GUTTER``). A dense layer that
  follows multiplies by a mask first, which is the one product per channel that the document counts there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.build import Builder
from kakuri.encrypted.chain import STANDARD
from kakuri.encrypted.network import Convolution, Dense, Network, Polynomial, Pool
from kakuri.encrypted.packings.polynomial import emit_polynomial
from kakuri.encrypted.wire import IntArray, WireLayout
from kakuri.errors import KakuriError


class Zeros(Enum):
    """Where slots that hold no element are known to be zero."""

    EVERYWHERE = "everywhere"
    GUTTER = "gutter"  # wherever a padded tap can read
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Channels:
    """One register per channel; element (y, x) stands at slot y * step_y + x * step_x.

    With ``replicated`` there is one element per register and it stands in every slot.
    """

    registers: tuple[int, ...]
    height: int
    width: int
    step_y: int
    step_x: int
    zeros: Zeros = Zeros.EVERYWHERE
    replicated: bool = False
    flat: bool = False

    def slots(self) -> IntArray:
        """(height * width,) slot of every element of a channel."""
        rows, columns = np.arange(self.height) * self.step_y, np.arange(self.width) * self.step_x
        return (rows[:, None] + columns[None, :]).reshape(-1)


class ChannelWise:
    """See the module head."""

    name = "channel"
    ring = STANDARD  # the document's

    def check(self, network: Network, slots: int) -> None:
        """Raises KK-E11 when a channel with its gutter needs more slots than a ciphertext has."""
        channels, height, width = _image_shape(network)
        gutter_y, gutter_x = _gutters(network)
        needed = (height + 2 * gutter_y) * (width + gutter_x)
        if needed > slots:
            raise KakuriError(
                "KK-E11",
                "one channel does not fit in a ciphertext",
                where=network.input_name,
                got=f"{channels}x{height}x{width}: {needed} slots",
                limit=f"{slots} slots",
                hint="a larger ring, smaller images, or packing='batch'",
            )

    def begin(self, builder: Builder, network: Network) -> Channels:
        channels, height, width = _image_shape(network)
        registers = tuple(builder.input() for _ in range(channels))
        return Channels(registers, height, width, width + _gutters(network)[1], 1, flat=len(network.input_shape) == 1)

    def convolution(self, builder: Builder, x: Channels, layer: Convolution, magnitude: float) -> Channels:
        if any(layer.pads) and x.zeros is Zeros.NOWHERE:
            x = self._clean(builder, x, 1.0, magnitude)
        _, _, kh, kw = layer.weight.shape
        rows = (np.arange(kh) * layer.dilations[0] - layer.pads[0]) * x.step_y
        columns = (np.arange(kw) * layer.dilations[1] - layer.pads[1]) * x.step_x
        steps = [int(s) for s in (rows[:, None] + columns[None, :]).reshape(-1)]
        taps = [tap for register in x.registers for tap in builder.rotate_hoisted(register, steps)]
        out = _strided(x, layer)
        mask = np.zeros(builder.chain.slots)
        mask[out.slots()] = 1.0
        products = builder.linear(taps, layer.weight.reshape(len(layer.weight), -1), magnitude, mask)
        registers = []
        for product, bias in zip(products, layer.bias, strict=True):
            scaled = builder.rescale(product, "masked")
            registers.append(builder.add_plain(scaled, mask * bias) if bias else scaled)
        return replace(out, registers=tuple(registers))

    def pool(self, builder: Builder, x: Channels, layer: Pool, magnitude: float) -> Channels:
        if any(layer.pads) and x.zeros is Zeros.NOWHERE:
            x = self._clean(builder, x, 1.0, magnitude)
        rows = (np.arange(layer.kernel[0]) - layer.pads[0]) * x.step_y
        columns = (np.arange(layer.kernel[1]) - layer.pads[1]) * x.step_x
        steps = [int(s) for s in (rows[:, None] + columns[None, :]).reshape(-1)]
        registers = tuple(builder.add_many(builder.rotate_hoisted(register, steps)) for register in x.registers)
        # Windows that do not overlap and leave no rest of the image read only zeros from a gutter position; others
        # reach into the image.
        apart = layer.kernel[0] <= layer.strides[0] and layer.kernel[1] <= layer.strides[1] and not any(layer.pads)
        _, height, width = layer.shape
        whole = height * layer.strides[0] >= x.height and width * layer.strides[1] >= x.width
        zeros = Zeros.GUTTER if apart and whole and x.zeros is not Zeros.NOWHERE else Zeros.NOWHERE
        pooled = replace(_strided(x, layer), registers=registers, zeros=zeros)
        return pooled if layer.divisor == 1.0 else self._clean(builder, pooled, 1.0 / layer.divisor, magnitude)

    def _clean(self, builder: Builder, x: Channels, factor: float, magnitude: float) -> Channels:
        """Multiplies by ``factor`` on valid slots and by zero elsewhere."""
        mask = np.zeros(builder.chain.slots)
        mask[x.slots()] = factor
        registers = tuple(
            builder.rescale(builder.multiply_plain(r, mask, magnitude / factor), "plain") for r in x.registers
        )
        return replace(x, registers=registers, zeros=Zeros.EVERYWHERE)

    def polynomial(self, builder: Builder, x: Channels, layer: Polynomial, magnitude: float) -> Channels:
        constant = np.zeros(builder.chain.slots)
        constant[x.slots()] = 1.0

        def add_constant(source: int, value: float) -> int:
            if value == 0.0:
                return source
            return builder.add_scalar(source, value) if x.replicated else builder.add_plain(source, constant * value)

        registers = tuple(emit_polynomial(builder, r, layer.coefficients, magnitude, add_constant) for r in x.registers)
        return replace(x, registers=registers)

    def add(self, builder: Builder, xs: list[Channels], magnitude: float) -> Channels:
        first = xs[0]
        if any((x.step_y, x.step_x, x.replicated) != (first.step_y, first.step_x, first.replicated) for x in xs):
            raise KakuriError(
                "KK-E12",
                "the branches of an addition lie in different slots",
                got=", ".join(f"steps {x.step_y}/{x.step_x}" for x in xs),
                hint="both branches must have the same total stride",
            )
        columns = zip(*(x.registers for x in xs), strict=True)
        registers = tuple(builder.add_many(builder.align(list(column), magnitude)) for column in columns)
        order = [Zeros.EVERYWHERE, Zeros.GUTTER, Zeros.NOWHERE]
        return replace(first, registers=registers, zeros=max((x.zeros for x in xs), key=order.index))

    def flatten(self, x: Channels) -> Channels:
        return replace(x, flat=True)

    def dense(self, builder: Builder, x: Channels, layer: Dense, magnitude: float) -> Channels:
        outputs = self._dense_scalars if x.replicated else self._dense_gathered
        registers = [
            builder.add_scalar(r, float(b)) if b else r
            for r, b in zip(outputs(builder, x, layer, magnitude), layer.bias, strict=True)
        ]
        return Channels(tuple(registers), 1, 1, 0, 0, replicated=True, flat=True)

    def _dense_scalars(self, builder: Builder, x: Channels, layer: Dense, magnitude: float) -> list[int]:
        return [builder.rescale(r, "linear") for r in builder.linear(x.registers, layer.weight, magnitude, None)]

    def _dense_gathered(self, builder: Builder, x: Channels, layer: Dense, magnitude: float) -> list[int]:
        """Channels side by side in few ciphertexts, then per output one product and a sum over all slots."""
        if len(x.registers) > 1 and x.zeros is not Zeros.EVERYWHERE:
            x = self._clean(builder, x, 1.0, magnitude)
        slots = builder.chain.slots
        groups = place_side_by_side(x.slots(), len(x.registers), slots)
        gathered, positions = [], np.empty((len(x.registers), x.height * x.width, 2), dtype=np.int64)
        for g, (start, bases) in enumerate(groups):
            moved = [builder.rotate_hoisted(x.registers[start + i], [-b])[0] for i, b in enumerate(bases)]
            gathered.append(builder.add_many(moved))
            for i, base in enumerate(bases):
                positions[start + i] = np.stack([np.full(x.height * x.width, g), x.slots() + base], axis=1)
        flat = positions.reshape(-1, 2)
        halving = [slots >> i for i in range(1, slots.bit_length())]
        outputs = []
        for row in layer.weight:
            packed = np.zeros((len(gathered), slots))
            packed[flat[:, 0], flat[:, 1]] = row
            products = [builder.multiply_plain(r, packed[g], magnitude, summed=True) for g, r in enumerate(gathered)]
            outputs.append(builder.rotate_sum(builder.rescale(builder.add_many(products), "plain"), halving))
        return outputs

    def registers(self, x: Channels) -> list[int]:
        return list(x.registers)

    def wire(self, x: Channels) -> WireLayout:
        slots = np.zeros(1, dtype=np.int64) if x.replicated else x.slots()
        count = len(x.registers)
        shape = (count * len(slots),) if x.flat else (count, x.height, x.width)
        ciphertext = np.repeat(np.arange(count), len(slots))
        return WireLayout(shape, count, ciphertext, np.tile(slots, count), np.arange(len(ciphertext)), batched=False)

    def depth_first(self) -> bool:
        return False


def place_side_by_side(pattern: IntArray, count: int, slots: int) -> list[tuple[int, list[int]]]:
    """First-fit shifts that make ``count`` copies of ``pattern`` (slots of one channel) disjoint.

    Returns groups (index of the first copy, shifts); a new group starts when a ciphertext is full.
    """
    groups: list[tuple[int, list[int]]] = []
    used: NDArray[np.bool_] = np.ones(slots, dtype=np.bool_)
    shift, last = slots, slots - int(pattern.max())
    for copy in range(count):
        while shift < last and used[pattern + shift].any():
            shift += 1
        if shift >= last:
            groups.append((copy, []))
            used, shift = np.zeros(slots, dtype=np.bool_), 0
        used[pattern + shift] = True
        groups[-1][1].append(shift)
    return groups


def _image_shape(network: Network) -> tuple[int, int, int]:
    """A flat input is one channel of one row."""
    shape = network.input_shape
    return (1, 1, shape[0]) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def _gutters(network: Network) -> tuple[int, int]:
    """Widest padding in input pixels (rows, columns): padding times the stride product before it."""
    strides = {network.input_name: (1, 1)}
    rows = columns = 0
    for layer in network.layers:
        sy, sx = strides[layer.inputs[0]]
        if isinstance(layer, Convolution | Pool):
            top, left, bottom, right = layer.pads
            rows, columns = max(rows, sy * max(top, bottom)), max(columns, sx * max(left, right))
            sy, sx = sy * layer.strides[0], sx * layer.strides[1]
        strides[layer.output] = (sy, sx)
    return rows, columns


def _strided(x: Channels, layer: Convolution | Pool) -> Channels:
    """The output's place: every stride-th slot of the input's grid. Raises KK-E13 when it would outgrow that grid."""
    _, height, width = layer.shape
    if (height - 1) * layer.strides[0] >= x.height or (width - 1) * layer.strides[1] >= x.width:
        raise KakuriError(
            "KK-E13",
            "the padding makes the output larger than the input",
            where=layer.name,
            got=f"{height}x{width} from {x.height}x{x.width}",
            limit="padding of at most (kernel - 1) in total",
            hint="use packing='batch' or less padding",
        )
    return replace(
        x,
        height=height,
        width=width,
        step_y=x.step_y * layer.strides[0],
        step_x=x.step_x * layer.strides[1],
        zeros=Zeros.EVERYWHERE,
        flat=False,
    )
