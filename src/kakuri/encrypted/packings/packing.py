"""What every packing offers the compiler.

A packing is one file here: a class with this shape, chosen by name in ``packings.registry``. Its layer methods take and
return layouts (its own type, opaque to the compiler) and speak to the builder in values; levels, scales and noise are
the builder's business. Template to copy: ``batch_axis.py``, the smaller of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.build import Builder
from kakuri.encrypted.network import Convolution, Dense, Network, Polynomial, Pool

IntArray = NDArray[np.int64]
Layout = TypeVar("Layout")


@dataclass(frozen=True)
class WireLayout:
    """Where the elements of a tensor stand in ``ciphertexts`` ciphertexts.

    shape: of one sample. ciphertext, slot: (elements,) int64 in row-major order. With ``batched`` the slot is that of
    the first sample and sample b stands b slots further; otherwise there is one sample.
    """

    shape: tuple[int, ...]
    ciphertexts: int
    ciphertext: IntArray
    slot: IntArray
    batched: bool

    def pack(self, samples: NDArray[np.float64], slots: int) -> NDArray[np.float64]:
        """samples: (b, *shape) to (ciphertexts, slots)."""
        packed = np.zeros((self.ciphertexts, slots))
        flat = samples.reshape(len(samples), -1)
        for b in range(len(samples)):
            packed[self.ciphertext, self.slot + (b if self.batched else 0)] = flat[b]
        return packed

    def unpack(self, packed: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
        """packed: (ciphertexts, slots) to (samples, *shape)."""
        rows = [packed[self.ciphertext, self.slot + (b if self.batched else 0)] for b in range(samples)]
        return np.stack(rows).reshape(samples, *self.shape)


class Packing(Protocol[Layout]):
    """One packing. ``magnitude`` is the typical size (root mean square) of the layer's input."""

    name: str

    def check(self, network: Network, slots: int) -> None:
        """Raises KakuriError (KK-E1x) when the network does not fit this packing and ring."""

    def begin(self, builder: Builder, network: Network) -> Layout: ...
    def convolution(self, builder: Builder, x: Layout, layer: Convolution, magnitude: float) -> Layout: ...
    def dense(self, builder: Builder, x: Layout, layer: Dense, magnitude: float) -> Layout: ...
    def pool(self, builder: Builder, x: Layout, layer: Pool, magnitude: float) -> Layout: ...
    def polynomial(self, builder: Builder, x: Layout, layer: Polynomial, magnitude: float) -> Layout: ...
    def add(self, builder: Builder, xs: list[Layout], magnitude: float) -> Layout: ...
    def flatten(self, x: Layout) -> Layout: ...
    def registers(self, x: Layout) -> list[int]:
        """Registers in wire order."""

    def wire(self, x: Layout) -> WireLayout: ...
    def depth_first(self) -> bool:
        """Whether the program should be reordered to hold few ciphertexts."""
