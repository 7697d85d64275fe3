"""What a thief holds, what is true of it, and what an attack got.

Purpose: the contract of extraction attacks.
Guarantees: ``Extraction.claim`` gets the artefact and a seeded generator, nothing else; ``score`` compares its claim
with the truth. Seconds are what the attack took, not what writing it took.
Does not guarantee: that a claim is complete; it is what this attack says.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Detail = str | int | float
_TRIVIAL = frozenset({0, 0x3F800000, 0xBF800000})  # 0, 1 and -1 are in every program


@dataclass(frozen=True)
class Artefact:
    """files: name -> content, what was taken from the device. command: runs the program, where it can be run, in
    ``folder``. keep: what must live as long as this."""

    name: str
    files: Mapping[str, bytes]
    command: tuple[str, ...] = ()
    folder: Path | None = None
    keep: Any = field(default=None, repr=False, compare=False)

    @property
    def content(self) -> bytes:
        """All files, one after the other, each from a multiple of 64."""
        return b"".join(data + bytes(-len(data) % 64) for data in self.files.values())


@dataclass(frozen=True)
class Truth:
    """words: the weights as 32-bit words, each as often as it occurs. tensors: the parameters in the model's order;
    own: in the order of the code that was built from it. layers: (inputs of an output, outputs) of each product and
    convolution. names: of the model's layers."""

    words: Words
    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    own: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    layers: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """recall: the share of what the attack is after that it got right. static: without running the program."""

    attack: str
    artefact: str
    recovers: str
    recall: float
    seconds: float
    static: bool
    details: Mapping[str, Detail] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "details": dict(self.details)}


class Extraction(ABC):
    """name, recovers: as in reports. weights: whether its recall counts weights."""

    name: ClassVar[str]
    recovers: ClassVar[str]
    static: ClassVar[bool] = True
    weights: ClassVar[bool] = True
    must_reach: ClassVar[float] = 0.9

    @abstractmethod
    def claim(self, artefact: Artefact, random: np.random.Generator) -> Any:
        """What the attack says it found."""

    @abstractmethod
    def score(self, claim: Any, truth: Truth) -> tuple[float, dict[str, Detail]]:
        """Recall, and what else is worth saying."""

    @abstractmethod
    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        """What the attack must break, made from nothing but ``random``."""

    def why_not(self, artefact: Artefact) -> str:
        """Empty when it applies, else the reason in words."""
        return "" if self.static or artefact.command else "nothing to run"

    def run(self, artefact: Artefact, truth: Truth, random: np.random.Generator) -> Finding:
        started = time.monotonic()
        claim = self.claim(artefact, random)
        seconds = time.monotonic() - started
        recall, details = self.score(claim, truth)
        return Finding(self.name, artefact.name, self.recovers, recall, seconds, self.static, details)

    def self_test(self, random: np.random.Generator) -> float:
        """Recall on the planted artefact."""
        artefact, truth = self.planted(random)
        return self.run(artefact, truth, random).recall


def words_of(data: bytes, offset: int = 0) -> Words:
    """Little-endian 32-bit words from ``offset`` on; what is left over is dropped."""
    return np.frombuffer(data, "<u4", (len(data) - offset) // 4, offset)


def telling(words: Words) -> Words:
    """``words`` without those that are everywhere."""
    return words[~np.isin(words, list(_TRIVIAL))]


def pairs_of(words: Words) -> NDArray[np.uint64]:
    """Neighbours as one number, where both are telling; a value alone may occur in many places of a network."""
    two = words[: len(words) // 2 * 2].reshape(-1, 2)
    kept = ~np.isin(two, list(_TRIVIAL)).any(axis=1)
    return np.ascontiguousarray(two[kept]).view("<u8").reshape(-1)


def share_of(words: Words, found: Words) -> float:
    """The share of ``words`` that occur in ``found``."""
    wanted = telling(words)
    return float(np.isin(wanted, found).mean()) if len(wanted) else 0.0
