"""Classes as means and one shared covariance: all that a closed-form head needs to know of general data.

Purpose: ``moments_of`` on the server, ``pack`` and ``unpack`` for the package, ``solve`` on both sides.
Guarantees: the size in a package depends on the features and classes, not on how many samples and views were seen;
solving is deterministic and needs memory for a few (d, d) matrices, d at most `MAX_FEATURES`.
Does not guarantee: that classes have one covariance. Means are rounded to a byte, the covariance to low rank.

Legend: M class means (K, d); S within-class covariance (d, d), each class weighted equally; F (d, r), v (d,): S is
sent as F F^T + diag(v), F the r largest principal axes, v what they leave of S's diagonal; m mean of M; G covariance
of all classes; Z one-hot targets. Head: G^-1 (M - m)^T / K, ridge regression on Z with equal classes.
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 4.2 and 4.3 (classification by regression
on indicators, shared covariances); Ghahramani, Hinton, CRG-TR-96-1 (F F^T + diag(v)).
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

MAX_FEATURES = 2048
_RIDGE = 0.3
_NEVER = np.float32(-1e3)
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """means: (n, d) of the classes ``labels`` (n,), rising. within: (d, d), the mean of their covariances."""

    means: Float64
    labels: Int64
    within: Float64

    def without(self, label: int) -> Moments:
        """As if the class had not been there; the shared covariance stays."""
        keep = self.labels != label
        renamed = self.labels[keep] - (self.labels[keep] > label)
        return Moments(self.means[keep], renamed, self.within)

    def joined(self, features: Float32, labels: Int64) -> Moments:
        """With more samples, features (n, d): of new classes, or of known ones, of which they become one half."""
        means = {int(label): mean for label, mean in zip(self.labels, self.means, strict=True)}
        met = np.unique(labels).tolist()
        within = (len(means) - len(means.keys() & set(met))) * self.within  # a sum, for now; added to in place:
        for label in met:  # the device has memory for few matrices of this size
            mean, covariance = _mean_and_covariance(features[labels == label])
            if label in means:
                between = (means[label] - mean) / 2
                mean = (means[label] + mean) / 2
                covariance += self.within
                covariance /= 2
                covariance += np.outer(between, between)
            means[label] = mean
            within += covariance
        order = sorted(means)
        within /= len(order)
        return Moments(np.stack([means[label] for label in order]), np.array(order), within)


def moments_of(features: Float32, labels: Int64) -> Moments:
    """features: (n, d). labels: (n,)."""
    width = features.shape[1]
    return Moments(np.zeros((0, width)), np.zeros(0, np.int64), np.zeros((width, width))).joined(features, labels)


def solve(moments: Moments, classes: int) -> Head:
    """A head for ``classes``; one without a mean is never chosen. Scores are near 1 for the class and 0 for others."""
    count, width = moments.means.shape
    middle = moments.means.mean(axis=0)
    between = moments.means - middle
    total = between.T @ between
    total /= count
    total += moments.within
    total[np.diag_indices(width)] += _RIDGE * np.trace(total) / width + np.finfo(np.float64).tiny
    if not np.isfinite(total).all():
        raise KakuriError("KK-P37", "training diverged", where="covariance", limit="finite values")
    weight = np.linalg.solve(total, between.T / count).T
    made = Head(np.zeros((classes, width), np.float32), np.full(classes, _NEVER))
    made.weight[moments.labels] = weight
    made.bias[moments.labels] = 1 / count - weight @ middle
    return made


def packed_bytes(features: int, classes: int, rank: int) -> int:
    """What ``pack`` will take."""
    return classes * (features + 4) + rank * (features + 4) + 8 * features


def pack(moments: Moments, rank: int) -> dict[str, NDArray[Any]]:
    """Arrays for the package; rank: at most this many principal axes."""
    means = quantize(moments.means.astype(np.float32))
    values, vectors = np.linalg.eigh(moments.within)
    axes = (vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0))).astype(np.float32)
    factor = quantize(axes)
    rest = np.diag(moments.within) - (dequantize(factor) ** 2).sum(axis=1)
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
    factor = dequantize(StoredFeatures(arrays["factor"], arrays["factor_scale"])).astype(np.float64)
    within = factor @ factor.T
    within[np.diag_indices(len(within))] += arrays["rest"]
    means = dequantize(StoredFeatures(arrays["values"], arrays["scale"])).astype(np.float64)
    order = np.argsort(arrays["labels"], kind="stable")
    return Moments(means[order], arrays["labels"][order].astype(np.int64), within)


def _mean_and_covariance(features: Float32) -> tuple[Float64, Float64]:
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    wide -= mean
    covariance = wide.T @ wide
    covariance /= len(wide)
    return mean, covariance
