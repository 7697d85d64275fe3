"""Encrypted MNIST inference: the document's 3layer-CNN with three activations.

Settings: ``packing`` (auto: the planner's choice), ``images`` (100). Cases are ``3layer-CNN/square`` and so on.
"""

from __future__ import annotations

from kakuri import zoo
from kakuri.bench.encrypted_case import Subject, measure
from kakuri.bench.rows import Options, Row

ACTIVATIONS = ("square", "swish-rg5-deg2", "swish-rg7-deg4")


def run(options: Options) -> list[Row]:
    """One or two rows per case; see ``encrypted_case.measure``."""
    count = int(options.settings.get("images", "100"))
    sample = zoo.samples.mnist_sample()
    rows: list[Row] = []
    for activation in ACTIVATIONS:
        name = f"3layer-CNN/{activation}"
        if options.case in name:
            weights = zoo.weights.path(f"mnist-3layer-{activation}")
            subject = Subject(name, weights, sample.images[:count], sample.labels[:count], sample.images)
            rows += measure(subject, options)
    return rows
