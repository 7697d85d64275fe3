"""Encrypted CIFAR-10 inference: the document's 4layer-CNN with three activations.

Settings: ``packing`` (auto: the planner's choice), ``images`` (100). Cases are ``4layer-CNN/square`` and so on. Images
are the first of CIFAR-10's test set, calibration comes from its training set; both from ``KAKURI_DATA``. Cases without
shipped weights are left out; KK-Z30 is raised when none is left. ``agreement`` N: only labels are compared, over the
first N images of the test set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kakuri import zoo
from kakuri.bench.encrypted_agreement import agreement
from kakuri.bench.encrypted_case import Subject, measure
from kakuri.bench.rows import Options, Row
from kakuri.zoo.data.cifar10 import load_cifar10
from kakuri.zoo.preprocessing import PREPROCESSING

ACTIVATIONS = ("square", "swish-rg5-deg2", "swish-rg7-deg4")
CALIBRATION_IMAGES = 500


def run(options: Options) -> list[Row]:
    """One or two rows per case; see ``encrypted_case.measure``."""
    compared = int(options.settings.get("agreement") or 0)
    rows: list[Row] = []
    for subject in subjects(options, compared or int(options.settings.get("images", "100"))):
        rows += [agreement(subject, options)] if compared else measure(subject, options)
    return rows


def subjects(options: Options, count: int) -> Iterator[Subject]:
    """The chosen cases, each with the first ``count`` test images."""
    names = {f"4layer-CNN/{a}": f"cifar10-4layer-{a}" for a in ACTIVATIONS}
    wanted = {case: name for case, name in names.items() if options.case in case}
    shipped = {case: name for case, name in wanted.items() if name in zoo.weights.names()} or wanted
    data = load_cifar10(download=False)
    images = PREPROCESSING.apply(data.test_images[:count])
    labels = np.asarray(data.test_labels[:count])
    calibration = PREPROCESSING.apply(data.train_images[:CALIBRATION_IMAGES])
    for case, name in shipped.items():
        yield Subject(case, zoo.weights.path(name), images, labels, calibration)
