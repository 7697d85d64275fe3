"""Learn from pairs of blinded and plain rows how to undo what hides the others.

Purpose: the adversary knows some plaintexts; with n columns, about n pairs determine any linear map that hides them all
alike. Two learners: one column of the blinded rows per plain column, up to sign (permutations need few pairs), and
ridge regression (any linear map); whichever does better on the known pairs is used.
Guarantees: looks at the given rows only. Rows are compared by direction, since blinding may scale each differently.
Does not guarantee: to find maps that differ from row to row; that is what mixing whole batches is for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.features import standardise
from kakuri.attacks.ridge import fits

Float64 = NDArray[np.float64]


def directions(rows: Float64) -> Float64:
    """Each row divided by its norm; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30))


def unblind(known: Float64, plain: Float64, asked: Float64) -> tuple[Float64, str]:
    """known (k, n), asked (a, n): blinded directions; plain (k, m): the known rows' own. Returns (a, m) and how."""
    picked, signs = _columns(known, plain)
    by_column = known[:, picked] * signs
    best = min(fits(standardise(known, known), plain), key=lambda fit: float(np.square(fit.left_out - plain).sum()))
    if np.square(by_column - plain).sum() <= np.square(best.left_out - plain).sum():
        return asked[:, picked] * signs, "columns"
    return best.predict(standardise(asked, known)), "linear map"


def _columns(known: Float64, plain: Float64) -> tuple[NDArray[np.int64], Float64]:
    """Per plain column the blinded column that resembles it most, and its sign."""
    centred = [part - part.mean(axis=0) for part in (known, plain)]
    alike = centred[0].T @ centred[1]
    norms = np.linalg.norm(centred[0], axis=0)[:, None] * np.linalg.norm(centred[1], axis=0)[None, :]
    alike = alike / np.maximum(norms, 1e-30)
    picked = np.abs(alike).argmax(axis=0)
    return picked, np.where(alike[picked, np.arange(alike.shape[1])] < 0, -1.0, 1.0)
