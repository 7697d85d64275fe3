"""Weights by their statistics: regions that look like trained floats, wherever and in whatever order they lie.

Purpose: needs no format, no layout and no key; it only cannot say which weight is which.
Method: in windows of 64 words at each alignment, the shares of plausible exponents and of both signs; windows that
look like weights, and their neighbours in between, are claimed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth, Words, share_of, words_of

_WINDOW = 64
_SMALLEST, _LARGEST = 127 - 34, 127 + 7  # exponents of trained weights


class WeightStatistics(Extraction):
    name = "weight_statistics"
    recovers = "weights, without their places"

    def claim(self, artefact: Artefact, random: np.random.Generator) -> Words:
        content, parts = artefact.content, [words_of(b"")]
        for offset in range(4):
            words = words_of(content, offset)
            rows = words[: len(words) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
            parts.append(rows[_look_like_weights(rows)].reshape(-1))
        return np.unique(np.concatenate(parts))

    def score(self, claim: Words, truth: Truth) -> tuple[float, dict[str, Detail]]:
        right = float(np.isin(claim, truth.words).mean()) if len(claim) else 0.0
        return share_of(truth.words, claim), {"claimed_words": len(claim), "of_them_right": round(right, 4)}

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        weights = (0.05 * random.standard_normal(1 << 14)).astype("<f4")
        data = random.bytes(4096) + bytes(3) + weights.tobytes() + random.bytes(4096)
        return Artefact("planted binary", {"app": data}), Truth(weights.view("<u4"))


def _look_like_weights(rows: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Per row of words."""
    exponent, zero = (rows >> 23) & 255, rows << 1 == 0
    plausible = ((exponent >= _SMALLEST) & (exponent <= _LARGEST)) | zero
    filled = np.maximum(1, (~zero).sum(axis=1))
    negative = ((rows >> 31 == 1) & ~zero).sum(axis=1) / filled
    mixed = (negative > 0.02) & (negative < 0.98)
    varied = np.array([len(np.unique(row)) for row in rows]) > 8 if len(rows) < 1 << 20 else np.ones(len(rows), bool)
    found: NDArray[np.bool_] = (plausible.mean(axis=1) > 0.97) & mixed & varied & (filled > 8)
    return found
