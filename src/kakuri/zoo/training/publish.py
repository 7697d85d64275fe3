"""A trained network as it ships: an ONNX file and its card.

Purpose: write ``<name>.onnx`` and ``<name>.json`` side by side.
Guarantees: each file is written atomically, the ONNX file last; the card carries the ONNX file's SHA-256, the recipe,
the seed, the digests of the data, the versions and the largest activation inputs over the training images.
Does not guarantee: any accuracy; the card says what was measured, and on which images.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from kakuri import __version__
from kakuri.files import atomic_write
from kakuri.model.runtime import onnxruntime
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.networks import parameter_count
from kakuri.zoo.preprocessing import PREPROCESSING
from kakuri.zoo.training.evaluate import largest_activation_inputs


def publish(path: Path, content: bytes, module: nn.Module, dataset: ImageDataset, facts: Mapping[str, Any]) -> None:
    """Write ``content``, which is `to_onnx` of the module, to ``path`` and its card beside it as ``.json``.

    dataset: the one trained on. facts: plain JSON values to add, such as recipe, seed and accuracies.
    Raises KK-F10 when the folder cannot be written.
    """
    card = {
        "name": path.stem,
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": parameter_count(module),
        "preprocessing": PREPROCESSING.to_dict(),
        "largest_activation_inputs_train": largest_activation_inputs(module, dataset.train_images),
        "dataset": {"name": dataset.name, "sha256": dataset.digests(), "provenance": dataset.provenance},
        "versions": {
            "kakuri": __version__,
            "numpy": np.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
        **facts,
    }
    text = json.dumps(card, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    for target, data in ((path.with_suffix(".json"), text.encode()), (path, content)):
        with atomic_write(target) as file:
            file.write(data)
