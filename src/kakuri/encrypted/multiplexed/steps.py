"""What the search decides and the emitter writes down: one step per stage, in order, without levels or scales."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from kakuri.encrypted.multiplexed.cover import Cover
from kakuri.encrypted.multiplexed.layout import Layout
from kakuri.encrypted.multiplexed.linear import Linear
from kakuri.encrypted.multiplexed.patterns import Pattern
from kakuri.encrypted.multiplexed.split import Split
from kakuri.encrypted.network import Polynomial, Sum


@dataclass(frozen=True)
class Placed:
    """A value somewhere: its layout, and the pattern it came from when neighbours can inherit it."""

    layout: Layout
    pattern: Pattern | None


@dataclass(frozen=True)
class Fold:
    """Adds rotations of a ciphertext to itself by every one of ``offsets`` (0 first)."""

    offsets: tuple[int, ...]

    @cached_property
    def chain(self) -> tuple[int, ...] | None:
        """Steps that double the sum each time, when the offsets are 0, d, 2d ... (2^k - 1)d."""
        count = len(self.offsets)
        if count & (count - 1) or count < 2:
            return None
        d = self.offsets[1]
        if any(offset != i * d for i, offset in enumerate(self.offsets)):
            return None
        return tuple(d << i for i in range(count.bit_length() - 1))

    @property
    def rotations(self) -> int:
        chain = self.chain
        return len(self.offsets) - 1 if chain is None else len(chain)


@dataclass(frozen=True)
class Gather:
    """The client's layout. element: (ciphertexts, slots) of the query, -1 for zero."""

    value: str
    placed: Placed
    linear: Linear | None  # the first layer's taps when the query holds them apart


@dataclass(frozen=True)
class Transform:
    layer: str
    source: str
    value: str
    linear: Linear
    cover: Cover
    split: Split
    fold: Fold
    placed: Placed


@dataclass(frozen=True)
class PoolFold:
    """folds: one after the other. spread: offsets at which a masked copy is wanted too, or ()."""

    layer: str
    source: str
    value: str
    folds: tuple[Fold, ...]
    divisor: float
    kept: Layout
    spread: tuple[Fold, ...]
    placed: Placed


@dataclass(frozen=True)
class Activation:
    layer: Polynomial
    source: str
    value: str
    placed: Placed


@dataclass(frozen=True)
class Addition:
    layer: Sum
    sources: tuple[str, ...]
    value: str
    placed: Placed


Step = Gather | Transform | PoolFold | Activation | Addition


@dataclass(frozen=True)
class Assignment:
    """choices: layer name -> name of the candidate, which reproduces the steps without a search. prices: nanoseconds up
    to the end of every stage."""

    steps: tuple[Step, ...]
    choices: dict[str, str]
    prices: tuple[float, ...]
    output: str

    def placed(self, value: str) -> Placed:
        return next(step.placed for step in self.steps if step.value == value)
