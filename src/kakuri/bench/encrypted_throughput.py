"""Throughput of encrypted MNIST inference beside its latency: many images a query, and one.

Purpose: per case two rows of ours, ``batch`` (a full query, ``runs`` times) and ``multiplexed`` (one image a query).
``images_per_second`` counts from query bytes to answer bytes. No peer answers many images of these networks at once.
Images are the first of MNIST's test set, from ``KAKURI_DATA``, as many as a query holds; calibration is the shipped
sample.
Does not guarantee: anything for CIFAR-10, whose program in batch packing needs more memory than most machines have.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kakuri import zoo
from kakuri.bench.encrypted_case import Subject, measure
from kakuri.bench.encrypted_mnist import ACTIVATIONS
from kakuri.bench.rows import Options, Row
from kakuri.zoo.data.mnist import load_mnist
from kakuri.zoo.preprocessing import PREPROCESSING


def run(options: Options) -> list[Row]:
    """Two rows per case, named ``3layer-CNN/square/batch`` and so on."""
    data = load_mnist(download=False)
    images, labels = PREPROCESSING.apply(data.test_images), np.asarray(data.test_labels)
    rows: list[Row] = []
    for activation in ACTIVATIONS:
        for packing, most in (("batch", len(images)), ("multiplexed", options.runs)):
            name = f"3layer-CNN/{activation}/{packing}"
            if options.case in name:
                weights = zoo.weights.path(f"mnist-3layer-{activation}")
                subject = Subject(name, weights, images[:most], labels[:most], zoo.samples.mnist_sample().images)
                rows += measure(subject, replace(options, settings={**options.settings, "packing": packing}))
    return rows
