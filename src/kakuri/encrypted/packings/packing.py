"""What every packing offers the compiler.

A packing is one file here: a class with this shape, chosen by name in ``packings.registry``. Its layer methods take and
return layouts (its own type, opaque to the compiler) and speak to the builder in values; levels, scales and noise are
the builder's business. Template to copy: ``batch_axis.py``, the smaller of the two.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from kakuri.encrypted.build import Builder
from kakuri.encrypted.network import Convolution, Dense, Network, Polynomial, Pool
from kakuri.encrypted.wire import WireLayout

Layout = TypeVar("Layout")


class Packing(Protocol[Layout]):
    """One packing. ``magnitude`` is the typical size (root mean square) of the layer's input."""

    name: str
    ring: str

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
