"""Programs on slots in the clear: the compiler's oracle, and the dry run that counts.

Purpose: the same instructions without encryption. With ``arithmetic=True`` every slot is computed in float64, weights
and plaintexts rounded as the kernel rounds them; with ``arithmetic=False`` only levels, scales and counters are kept.
Guarantees: refuses (KK-E30) what the kernel would refuse: levels or scales that differ, a size-3 operand where size 2
is due. So a program that runs here runs there.
Does not guarantee: noise; there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kakuri.encrypted.build import ChainLike
from kakuri.encrypted.program import TransformSpec
from kakuri.errors import KakuriError

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Slots:
    """values: (slots,) or None in a dry run."""

    values: Float64 | None
    level: int
    scale: float
    size: int = 2


class SimulatedBackend:
    """See the module head. One instance counts for one run."""

    def __init__(self, chain: ChainLike, *, arithmetic: bool = True) -> None:
        self._chain = chain
        self._arithmetic = arithmetic
        self._count: Counter[str] = Counter()

    @property
    def counters(self) -> dict[str, int]:
        return dict(self._count)

    def fresh(self, values: Float64) -> Slots:
        """A fresh encryption of ``values`` (slots,)."""
        return Slots(values.copy() if self._arithmetic else None, self._chain.top_level, self._chain.scale)

    def encode(self, values: Float64, scale: float, level: int) -> Slots:
        padded = np.zeros(self._chain.slots) if self._arithmetic else None
        if padded is not None:
            padded[: len(values)] = values
        return Slots(padded, level, scale)

    # -- checks ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _refuse(what: str, a: object, b: object) -> KakuriError:
        return KakuriError("KK-E30", what, got=f"{a} and {b}", hint="this is a fault in the compiler; please report it")

    def _agree(self, a: Slots, b: Slots, *, scales: bool) -> None:
        if a.level != b.level:
            raise self._refuse("operands at different levels", a.level, b.level)
        if scales and abs(a.scale / b.scale - 1.0) > 2.0**-20:
            raise self._refuse("operands at different scales", a.scale, b.scale)

    def _size_two(self, a: Slots) -> None:
        if a.size != 2:
            raise self._refuse("an operand was not relinearised", a.size, 2)

    # -- operations --------------------------------------------------------------------------------------------------

    def add(self, a: Slots, b: Slots) -> Slots:
        return self.add_many([a, b])

    def sub(self, a: Slots, b: Slots) -> Slots:
        self._agree(a, b, scales=True)
        self._count["hadd"] += 1
        return replace(a, values=None if a.values is None or b.values is None else a.values - b.values)

    def negate(self, a: Slots) -> Slots:
        return replace(a, values=None if a.values is None else -a.values)

    def add_many(self, items: Sequence[Slots]) -> Slots:
        for item in items[1:]:
            self._agree(items[0], item, scales=True)
        self._count["hadd"] += len(items) - 1
        values = None if items[0].values is None else np.sum([i.values for i in items if i.values is not None], axis=0)
        return replace(items[0], values=values)

    def add_plain(self, a: Slots, p: Slots) -> Slots:
        self._agree(a, p, scales=True)
        self._count["hadd_plain"] += 1
        return replace(a, values=None if a.values is None or p.values is None else a.values + p.values)

    def add_scalar(self, a: Slots, value: float) -> Slots:
        self._count["hadd_plain"] += 1
        return replace(a, values=None if a.values is None else a.values + value)

    def multiply(self, a: Slots, b: Slots) -> Slots:
        self._size_two(a)
        self._size_two(b)
        self._agree(a, b, scales=False)
        self._count["hmul"] += 1
        values = None if a.values is None or b.values is None else a.values * b.values
        return Slots(values, a.level, a.scale * b.scale, 3)

    def square(self, a: Slots) -> Slots:
        self._size_two(a)
        self._count["hsquare"] += 1
        return Slots(None if a.values is None else a.values**2, a.level, a.scale**2, 3)

    def relinearize(self, a: Slots, rescale: int = 0) -> Slots:
        self._count["relinearize"] += 1
        return self._rescaled(replace(a, size=2), rescale)

    def rescale(self, a: Slots) -> Slots:
        self._size_two(a)
        if a.level == 0:
            raise self._refuse("no level left to rescale", a.level, "at least 1")
        self._count["rescale"] += 1
        return replace(a, level=a.level - 1, scale=a.scale / self._chain.modulus(a.level))

    def drop_to_level(self, a: Slots, level: int) -> Slots:
        if level > a.level:
            raise self._refuse("cannot drop upwards", a.level, level)
        return replace(a, level=level)

    def multiply_plain(self, a: Slots, p: Slots) -> Slots:
        self._agree(a, p, scales=False)
        self._count["hmulplain"] += 1
        return replace(
            a, values=None if a.values is None or p.values is None else a.values * p.values, scale=a.scale * p.scale
        )

    def multiply_scalar(self, a: Slots, value: float, scale: float) -> Slots:
        self._count["hmulplain"] += 1
        rounded = np.rint(value * scale) / scale
        return replace(a, values=None if a.values is None else a.values * rounded, scale=a.scale * scale)

    def linear_combination(
        self, items: Sequence[Slots], weights: Float64, weight_scale: float, mask: Slots | None
    ) -> list[Slots]:
        for item in items:
            self._agree(items[0], item, scales=True)
            self._size_two(item)
        if np.abs(weights).max() * weight_scale >= 2.0**49:
            raise self._refuse("a weight is too large for its scale", np.abs(weights).max(), weight_scale)
        self._count["hmulplain"] += int(np.count_nonzero(weights))
        self._count["hadd"] += int(np.count_nonzero(weights)) - len(weights)
        self._count["mask_multiply"] += 0 if mask is None else len(weights)
        scale = items[0].scale * weight_scale * (1.0 if mask is None else mask.scale)
        if not self._arithmetic:
            return [Slots(None, items[0].level, scale) for _ in weights]
        values = (
            np.rint(weights * weight_scale) / weight_scale @ np.stack([i.values for i in items if i.values is not None])
        )
        if mask is not None and mask.values is not None:
            values = values * mask.values
        return [Slots(row, items[0].level, scale) for row in values]

    def encode_transform(self, spec: TransformSpec) -> TransformSpec:
        return spec

    def linear_transform(self, items: Sequence[Slots], diagonals: TransformSpec, rescale: int = 0) -> list[Slots]:
        """Counts one rotation per baby step of an input and per giant step of an output."""
        for item in items:
            self._agree(items[0], item, scales=True)
            self._size_two(item)
        if items[0].level != diagonals.level or len(items) != diagonals.inputs:
            raise self._refuse("a transform made for other operands", items[0].level, diagonals.level)
        babies = {(d.input, d.baby) for d in diagonals.entries}
        giants = {(d.output, d.giant) for d in diagonals.entries if d.giant}
        self._count["hmulplain"] += len(diagonals.entries)
        self._count["rotation"] += sum(1 for _, b in babies if b) + len(giants)
        scale = items[0].scale * diagonals.scale
        if not self._arithmetic:
            return [self._rescaled(Slots(None, items[0].level, scale), rescale) for _ in range(diagonals.outputs)]
        values = [item.values for item in items if item.values is not None]
        rotated = {(i, b): np.roll(values[i], -b) for i, b in babies}
        total = np.zeros((diagonals.outputs, self._chain.slots))
        for d in diagonals.entries:
            total[d.output] += np.roll(d.values * rotated[d.input, d.baby], -d.giant)
        return [self._rescaled(Slots(row, items[0].level, scale), rescale) for row in total]

    def _rescaled(self, a: Slots, times: int) -> Slots:
        for _ in range(times):
            a = self.rescale(a)
        return a

    def rotate_hoisted(self, a: Slots, steps: Sequence[int]) -> list[Slots]:
        return [self._rotate(a, step) for step in steps]

    def _rotate(self, a: Slots, step: int) -> Slots:
        self._count["rotation" if step else "rotation_identity"] += 1
        return replace(a, values=None if a.values is None else np.roll(a.values, -step))

    def rotate_sum(self, a: Slots, steps: Sequence[int]) -> Slots:
        for step in steps:
            a = self.add_many([a, self._rotate(a, step)])
        return a
