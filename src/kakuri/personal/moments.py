"""Classes as means and one shared covariance: all that a closed-form head needs to know of general data.

Purpose: ``moments_of`` on the server, ``pack`` and ``unpack`` for the package, ``solve`` on both sides.
Guarantees: the size in a package depends on the features and classes, not on how many samples and views were seen;
solving is deterministic and needs memory for a few (r, r) and (r, d) matrices, r the smaller of d and the rows of R.
Does not guarantee: that classes have one covariance. Means are rounded to a byte, the covariance to low rank.

Legend: M class means (K, d); S within-class covariance (d, d), each class weighted equally; R (m, d), v (d,): S is held
as R^T R + diag(v); F (d, r): sent is S as F F^T + diag(v), F the r largest principal axes, v what they leave of S's
diagonal; m mean of M; G covariance of all classes; Z one-hot targets. Head: G^-1 (M - m)^T / K, ridge regression on Z
with equal classes; with few rows by the identity (D + U^T U)^-1 = D^-1 - D^-1 U^T (1 + U D^-1 U^T)^-1 U D^-1.
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 4.2 and 4.3 (classification by regression
on indicators, shared covariances); Ghahramani, Hinton, CRG-TR-96-1 (F F^T + diag(v)); Woodbury, 1950.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.personal.features import Float32, StoredFeatures, dequantize, quantize
from kakuri.personal.linear import Head

MAX_FEATURES = 4096
_RIDGE = 0.3
_BLOCK = 256  # columns
_NEVER = np.float32(-1e3)
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """means: (n, d) of the classes ``labels`` (n,), rising.

    rows: (m, d), rest: (d,); the mean of the classes' covariances is rows^T rows + diag(rest).
    """

    means: Float64
    labels: Int64
    rows: Float32
    rest: Float64

    @property
    def within(self) -> Float64:
        """(d, d), the mean of the classes' covariances."""
        rows = self.rows.astype(np.float64)
        made = rows.T @ rows
        made[np.diag_indices(len(made))] += self.rest
        return made

    def without(self, label: int) -> Moments:
        """As if the class had not been there; the shared covariance stays."""
        keep = self.labels != label
        renamed = self.labels[keep] - (self.labels[keep] > label)
        return Moments(self.means[keep], renamed, self.rows, self.rest)

    def joined(self, features: Float32, labels: Int64) -> Moments:
        """With more samples, features (n, d): of new classes, or of known ones, of which they become one half."""
        means = {int(label): mean for label, mean in zip(self.labels, self.means, strict=True)}
        met = np.unique(labels).tolist()
        known = means.keys() & set(met)
        count = len(means) + len(met) - len(known)
        share = (len(means) - len(known) / 2) / count  # of the shared covariance, in the new one
        rows = self.rows * np.float32(np.sqrt(share))
        for label in met:
            own = features[labels == label]
            mean = own.mean(axis=0, dtype=np.float64)
            own -= mean.astype(np.float32)
            own *= np.float32(np.sqrt((0.5 if label in means else 1) / (count * len(own))))
            parts = [rows, own]
            if label in means:
                between = (means[label] - mean) / (2 * np.sqrt(count))
                parts.append(between[None].astype(np.float32))
                mean = (means[label] + mean) / 2
            means[label] = mean
            rows = _compact(np.concatenate(parts))
        order = sorted(means)
        return Moments(np.stack([means[label] for label in order]), np.array(order), rows, self.rest * share)


def moments_of(features: Float32, labels: Int64) -> Moments:
    """features: (n, d). labels: (n,)."""
    width = features.shape[1]
    empty = Moments(np.zeros((0, width)), np.zeros(0, np.int64), np.zeros((0, width), np.float32), np.zeros(width))
    return empty.joined(features, labels)


def _compact(rows: Float32) -> Float32:
    """The same rows^T rows in as many rows as columns, once there are twice as many."""
    return rows if len(rows) < 2 * rows.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"), np.float32)


def solve(moments: Moments, classes: int) -> Head:
    """A head for ``classes``; one without a mean is never chosen. Scores are near 1 for the class and 0 for others."""
    count, width = moments.means.shape
    middle = moments.means.mean(axis=0)
    goals = (moments.means - middle) / count
    between = np.sqrt(count) * goals  # U of the legend: rows and these
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.square(moments.rows, dtype=np.float64).sum() + np.square(between).sum() + moments.rest.sum())
    if not np.isfinite(spread):
        raise KakuriError("KK-P37", "training diverged", where="covariance", limit="finite values")
    diagonal = moments.rest + _RIDGE * spread / width + np.finfo(np.float64).tiny
    few = len(moments.rows) + count < width
    weight = (_by_rows if few else _whole)(moments.rows, between, diagonal, goals)
    made = Head(np.zeros((classes, width), np.float32), np.full(classes, _NEVER))
    made.weight[moments.labels] = weight
    made.bias[moments.labels] = 1 / count - weight @ middle
    return made


def _whole(rows: Float32, between: Float64, diagonal: Float64, goals: Float64) -> Float64:
    """goals (D + U^T U)^-1 with matrices (d, d)."""
    wide = rows.astype(np.float64)
    total = wide.T @ wide
    total += between.T @ between
    total[np.diag_indices(len(total))] += diagonal
    return np.asarray(np.linalg.solve(total, goals.T).T)


def _by_rows(rows: Float32, between: Float64, diagonal: Float64, goals: Float64) -> Float64:
    """The same with matrices (m, m); U is never whole, so that a device needs memory for few of them."""
    scale, width = 1 / np.sqrt(diagonal), rows.shape[1]

    def u(block: slice) -> Float32:
        narrow = np.concatenate([rows[:, block], between[:, block]], dtype=np.float32, casting="same_kind")
        narrow *= scale[block].astype(np.float32)
        return narrow

    blocks = [slice(at, at + _BLOCK) for at in range(0, width, _BLOCK)]
    scaled = goals * scale
    inner = np.eye(len(rows) + len(between))
    right = np.zeros((len(inner), len(goals)))
    for block in blocks:
        part = u(block)
        inner += part @ part.T
        right += part @ scaled[:, block].T
    solved = np.linalg.solve(inner, right).T
    return np.concatenate([(scaled[:, block] - solved @ u(block)) * scale[block] for block in blocks], axis=1)


def packed_bytes(features: int, classes: int, rank: int) -> int:
    """What ``pack`` will take."""
    return classes * (features + 4) + rank * (features + 4) + 8 * features


def pack(moments: Moments, rank: int) -> dict[str, NDArray[Any]]:
    """Arrays for the package; rank: at most this many principal axes."""
    means = quantize(moments.means.astype(np.float32))
    within = moments.within
    values, vectors = np.linalg.eigh(within)
    axes = (vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0))).astype(np.float32)
    factor = quantize(axes)
    rest = np.diag(within) - (dequantize(factor) ** 2).sum(axis=1)
    return {
        "values": means.values,
        "scale": means.scale,
        "labels": moments.labels.astype(np.int32),
        "factor": factor.values,
        "factor_scale": factor.scale,
        "rest": np.maximum(rest, 0).astype(np.float32),
    }


def unpack(arrays: Mapping[str, NDArray[Any]]) -> Moments:
    """The inverse of ``pack``, up to rounding and rank."""
    factor = dequantize(StoredFeatures(arrays["factor"], arrays["factor_scale"]))
    means = dequantize(StoredFeatures(arrays["values"], arrays["scale"])).astype(np.float64)
    order = np.argsort(arrays["labels"], kind="stable")
    rows, rest = np.ascontiguousarray(factor.T), arrays["rest"].astype(np.float64)
    return Moments(means[order], arrays["labels"][order].astype(np.int64), rows, rest)
