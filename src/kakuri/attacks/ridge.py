"""Kernel ridge regression with exact leave-one-out error, for tens to thousands of samples.

Purpose: the learner behind the attacks that learn: linear and radial kernels, penalty chosen by leave-one-out.
Guarantees: deterministic; the leave-one-out predictions equal those of n separate fits to rounding.
Does not guarantee: the best possible learner; a neural network with far more samples may find more.
Source: Golub, Heath, Wahba 1979 (leave-one-out by the diagonal of the inverse).
Shapes: n samples, f features, t targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Kernel = Literal["linear", "radial"]
PENALTIES = (1e-4, 1e-2, 1e-1, 1.0, 1e1, 1e2)


@dataclass(frozen=True)
class Fit:
    """``left_out`` (n, t): prediction for each sample by the fit without it. ``predict``: (m, f) -> (m, t)."""

    kernel: Kernel
    penalty: float
    left_out: Float64
    weights: Float64
    offset: Float64
    features: Float64

    def predict(self, features: Float64) -> Float64:
        return _gram(features, self.features, self.kernel) @ self.weights + self.offset


def fits(features: Float64, targets: Float64) -> Iterator[Fit]:
    """One fit per kernel and penalty; ``features`` (n, f) standardised, ``targets`` (n, t).

    The offset is the targets' mean. It is fitted with all samples, so leave-one-out predicts targets less a mean that
    includes the sample itself; with centred targets that is a change of 1/n.
    """
    offset = targets.mean(axis=0)
    centred = targets - offset
    for kernel in ("linear", "radial"):
        gram = _gram(features, features, kernel)
        scale = max(float(np.trace(gram)) / len(gram), 1e-12)
        values, vectors = np.linalg.eigh(gram)
        projected = vectors.T @ centred
        for penalty in PENALTIES:
            inverse = 1.0 / (np.maximum(values, 0.0) + penalty * scale)
            weights = vectors @ (inverse[:, None] * projected)
            diagonal = np.square(vectors) @ inverse
            left_out = targets - weights / diagonal[:, None]
            yield Fit(kernel, penalty, left_out, weights, offset, features)


def _gram(a: Float64, b: Float64, kernel: Kernel) -> Float64:
    width = max(1, a.shape[1])
    products = a @ b.T / width
    if kernel == "linear":
        return np.asarray(products)
    squares = np.square(a).sum(axis=1)[:, None] / width + np.square(b).sum(axis=1)[None, :] / width
    return np.asarray(np.exp(products - squares / 2))
