"""Encrypted MNIST inference: the document's 3layer-CNN with three activations.

Settings: ``packing`` (auto: the planner's choice), ``images`` (100). Cases are ``3layer-CNN/square`` and so on.
``agreement`` N: only labels are compared, over the first N of MNIST's test set from ``KAKURI_DATA``.
"""

from __future__ import annotations

import numpy as np

from kakuri import zoo
from kakuri.bench.encrypted_agreement import agreement
from kakuri.bench.encrypted_case import Subject, measure
from kakuri.bench.rows import Options, Row
from kakuri.zoo.data.mnist import load_mnist
from kakuri.zoo.preprocessing import PREPROCESSING

ACTIVATIONS = ("square", "swish-rg5-deg2", "swish-rg7-deg4")


def run(options: Options) -> list[Row]:
    """One or two rows per case; see ``encrypted_case.measure``."""
    count = int(options.settings.get("images", "100"))
    compared = int(options.settings.get("agreement") or 0)
    sample = zoo.samples.mnist_sample()
    images, labels = sample.images[:count], sample.labels[:count]
    if compared:
        data = load_mnist(download=False)
        images = PREPROCESSING.apply(data.test_images[:compared])
        labels = np.asarray(data.test_labels[:compared])
    rows: list[Row] = []
    for activation in ACTIVATIONS:
        name = f"3layer-CNN/{activation}"
        if options.case in name:
            weights = zoo.weights.path(f"mnist-3layer-{activation}")
            subject = Subject(name, weights, images, labels, sample.images)
            rows += [agreement(subject, options)] if compared else measure(subject, options)
    return rows
