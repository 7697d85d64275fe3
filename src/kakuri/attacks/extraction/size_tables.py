"""Layer sizes from tables of constants: runs of integers that can only be the sizes of a convolution.

Purpose: the structure of the network without reading an instruction.
Method: six consecutive 32-bit numbers W, N, K, kh, kw, len with K = kh kw len, as the generated code documents them.
"""

from __future__ import annotations

import numpy as np

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth, words_of

_LARGEST, _WINDOW = 1 << 20, 31


class SizeTables(Extraction):
    name = "size_tables"
    recovers = "inputs and outputs of the layers"
    weights = False

    def claim(self, artefact: Artefact, random: np.random.Generator) -> set[tuple[int, int]]:
        words = words_of(artefact.content).astype(np.int64)
        w, n, k, kh, kw, length = (words[i : len(words) - 5 + i] for i in range(6))
        small = (kh >= 1) & (kh <= _WINDOW) & (kw >= 1) & (kw <= _WINDOW)
        sized = (w >= 1) & (w < _LARGEST) & (n >= 1) & (n < _LARGEST) & (k >= 1) & (k < _LARGEST)
        right = small & sized & (k == kh * kw * length) & (k > 1) & (n > 1)
        return {(int(a), int(b)) for a, b in zip(k[right], n[right], strict=True)}

    def score(self, claim: set[tuple[int, int]], truth: Truth) -> tuple[float, dict[str, Detail]]:
        return scored_sizes(claim, truth)

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        layers = [(int(9 * random.integers(2, 200)), int(random.integers(2, 500))) for _ in range(20)]
        rows = [np.array([7, n, k, 3, 3, k // 9], "<i4").tobytes() for k, n in layers]
        data = b"".join(random.bytes(64) + row for row in rows)
        return Artefact("planted tables", {"app": data}), Truth(np.zeros(0, "<u4"), layers=tuple(layers))


def scored_sizes(claim: set[tuple[int, int]], truth: Truth) -> tuple[float, dict[str, Detail]]:
    """The share of layers whose pair of sizes is claimed, and how much of the claim is right."""
    real = set(truth.layers)
    recall = sum(layer in claim for layer in truth.layers) / len(truth.layers) if truth.layers else 0.0
    return recall, {"claimed": len(claim), "of_them_right": round(len(claim & real) / max(1, len(claim)), 4)}
