"""Rows of tables 5.5 to 5.8: the printed accuracy beside the one that a shipped network reaches in this run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from printed_tables import arguments, printed_accuracies, shipped_name, show

from kakuri.zoo import weights
from kakuri.zoo.data import ImageDataset, load_cifar10, load_mnist
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent

LOADERS = {"mnist": load_mnist, "cifar10": load_cifar10}


def rows(networks: Sequence[str], dataset: ImageDataset) -> list[dict[str, Any]]:
    """One row per printed accuracy; ours is None where no such network ships."""
    shipped = weights.names()
    found = []
    for line in printed_accuracies(networks):
        name = shipped_name(line["network"], line["activation"])
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
