"""Rows of tables 5.5 to 5.8: the printed accuracy beside the one that a shipped network reaches in this run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from printed_tables import ZOO_NAMES, arguments, printed_accuracies, show

from kakuri.zoo import weights
from kakuri.zoo.data import ImageDataset, load_cifar10, load_mnist
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent

LOADERS = {"mnist": load_mnist, "cifar10": load_cifar10}

#: The document's networks: (beginning, end) of the shipped network's name, between which the activation stands.
_SHIPPED = {
    "3layer-CNN": ("mnist-3layer", ""),
    "3layer-CNN-Pruned-R1": ("mnist-3layer", "-r1"),
    "3layer-CNN-Pruned-R2": ("mnist-3layer", "-r2"),
    "4layer-CNN": ("cifar10-4layer", ""),
    "4layer-CNN-Pruned10%": ("cifar10-4layer", "-r1"),
    "4layer-CNN-Pruned20%": ("cifar10-4layer", "-r2"),
    "4layer-CNN-Pruned30%": ("cifar10-4layer", "-r3"),
}


def rows(networks: Sequence[str], dataset: ImageDataset) -> list[dict[str, Any]]:
    """One row per printed accuracy; ours is None where no such network ships."""
    shipped = weights.names()
    found = []
    for line in printed_accuracies(networks):
        activation = ZOO_NAMES.get(line["activation"], line["activation"])
        beginning, end = _SHIPPED[line["network"]]
        name = f"{beginning}-{activation}{end}"
        document, ours, parameters = float(line["accuracy_percent"]), None, None
        if name in shipped:
            ours = onnx_accuracy_percent(weights.path(name), dataset.test_images, dataset.test_labels)
            parameters = weights.card(name)["parameters"]
        found.append(
            {
                "network": line["network"],
                "activation": line["activation"],
                "parameters": parameters,
                "document_percent": document,
                "ours_percent": ours,
                "difference": None if ours is None else round(ours - document, 2),
            }
        )
    return found


def accuracy_table(description: str | None, title: str, networks: Sequence[str], data: str = "mnist") -> None:
    """Parse the command line, measure, print. data: ``mnist`` or ``cifar10``."""
    parser = arguments(description)
    parser.add_argument("--data", type=Path, help=f"folder of {data} (default: KAKURI_DATA, else downloaded)")
    options = parser.parse_args()
    dataset = LOADERS[data](options.data)
    note = f"{len(dataset.test_labels):,} test images; one image is {100 / len(dataset.test_labels):.2f} points"
    show(title, rows(networks, dataset), as_json=options.json, note=note)
