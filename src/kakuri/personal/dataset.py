"""The server's general data, as arrays.

Purpose: one checked value that holds samples, labels, class names and which samples the model was not trained on.
Guarantees: every problem of the arrays is reported at once (KK-P01).
Does not guarantee: that near-duplicates are apart; ``near_duplicates`` finds them, the caller decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError, Problem

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]
MAX_CLASSES = 4096


@dataclass(frozen=True)
class GeneralData:
    """samples: (n, C, H, W) uint8, before augmentation. labels: (n,) int64, indices into ``names``.

    held_out: (n,) bool, samples that the model was NOT trained on. They calibrate and guard on the device and are never
    trained on there. Features of trained samples lie further apart than those of new ones, so calibrating on them
    would promise too low a false-personal rate.
    """

    samples: UInt8
    labels: Int64
    names: tuple[str, ...]
    held_out: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count, problems = len(self.samples), []

        def wrong(where: str, what: str, got: object, limit: object) -> None:
            problems.append(Problem("KK-P01", what, where, str(got), str(limit)))

        if self.samples.dtype != np.uint8 or self.samples.ndim != 4 or not count:
            wrong("samples", "not pictures or spectrograms", f"{self.samples.dtype} {self.samples.shape}", "(n,C,H,W)")
        if self.labels.shape != (count,) or not np.issubdtype(self.labels.dtype, np.integer):
            wrong(
                "labels", "not one whole number per sample", f"{self.labels.dtype} {self.labels.shape}", f"({count},)"
            )
        elif count and not (self.labels.min() >= 0 and self.labels.max() < len(self.names)):
            wrong("labels", "out of range", f"{self.labels.min()} ... {self.labels.max()}", f"{len(self.names)} names")
        if self.held_out.shape != (count,) or self.held_out.dtype != np.bool_:
            wrong("held_out", "not one truth value per sample", f"{self.held_out.dtype} {self.held_out.shape}", count)
        elif not self.held_out.any() or self.held_out.all():
            wrong("held_out", "needs some samples in and some out", int(self.held_out.sum()), f"1 ... {count - 1}")
        if len(set(self.names)) != len(self.names) or not 1 <= len(self.names) <= MAX_CLASSES:
            wrong("names", "class names repeat, or are too few or too many", len(self.names), f"1 ... {MAX_CLASSES}")
        if problems:
            raise KakuriError.collect(problems)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: (C, H, W)."""
        return tuple(self.samples.shape[1:])

    def part(self, held_out: bool) -> tuple[UInt8, Int64]:
        """Samples and labels that were held out, or those that were trained on."""
        chosen = self.held_out == held_out
        return self.samples[chosen], self.labels[chosen]


def near_duplicates(samples: UInt8, threshold: float = 0.99) -> list[tuple[int, int]]:
    """Pairs of samples whose pixels correlate above ``threshold``; an (n, n) float32 matrix is needed."""
    flat = samples.reshape(len(samples), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    first, second = np.nonzero(np.triu(flat @ flat.T, 1) > threshold)
    return list(zip(first.tolist(), second.tolist(), strict=True))
