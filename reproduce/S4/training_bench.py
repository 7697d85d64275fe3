"""Shared by the training scripts: where things lie, and how a finished network is measured and published.

Guarantees: a network is measured on the test images once; every measurement is a line of test_evaluations.jsonl in the
runs folder, which only grows. Training and choosing read training images only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from kakuri.zoo.data import ImageDataset
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent
from kakuri.zoo.training import RECIPES, Source, Stream, progress_bar, publish, to_onnx, train

SEED = 1


@dataclass(frozen=True)
class Bench:
    """runs: folder of everything made; weights: folder of what ships; dataset: MNIST or CIFAR-10."""

    runs: Path
    weights: Path
    dataset: ImageDataset
    console: Console


@dataclass(frozen=True)
class Network:
    """One network that ships. family: as the cards name it; recipe: of its last training; parent: what it began as."""

    name: str
    family: str
    activation: str
    channels: int
    recipe: str
    parent: str = ""


def training_arguments(description: str | None, data: str) -> argparse.ArgumentParser:
    """Options that both training scripts have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints and the record")
    parser.add_argument("--weights", type=Path, help="where the ONNX files go (default: --runs/weights)")
    parser.add_argument("--data", type=Path, help=f"folder of {data} (default: KAKURI_DATA, else downloaded)")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def opened_bench(options: argparse.Namespace, dataset: ImageDataset) -> Bench:
    """The bench that the options describe; its folders exist afterwards."""
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    weights = options.weights or options.runs / "weights"
    for folder in (options.runs, weights):
        folder.mkdir(parents=True, exist_ok=True)
    return Bench(options.runs, weights, dataset, Console(stderr=True))


def fit(bench: Bench, network: Network, module: nn.Module, source: Source | Stream) -> nn.Module:
    """Train ``module`` by the network's recipe; a second call goes on where the first stopped."""
    checkpoint = bench.runs / f"{network.name}.{network.recipe}.safetensors"
    with progress_bar(network.name, bench.console) as observe:
        train(module, source, RECIPES[network.recipe], seed=SEED, checkpoint=checkpoint, observe=observe, compiled=True)
    return module


def ship(bench: Bench, network: Network, module: nn.Module, facts: Mapping[str, Any]) -> None:
    """Measure on the test images once, then publish with that figure on the card; facts: about its training."""
    channels, height, width = bench.dataset.test_images.shape[1:]
    content = to_onnx(module, (channels, height, width), network.name)
    accuracy = _measured_once(bench, network.name, content)
    training = {"seed": SEED, "recipe": RECIPES[network.recipe].to_dict(), "parent": network.parent, **facts}
    card = {
        "network": network.family,
        "activation": network.activation,
        "channels": network.channels,
        "status": "final",
        "test_accuracy_percent": accuracy,
        "training": training,
    }
    publish(bench.weights / f"{network.name}.onnx", content, module, bench.dataset, card)
    bench.console.print(f"{network.name}: {accuracy:.2f} % of {len(bench.dataset.test_labels)} test images")


def _measured_once(bench: Bench, name: str, content: bytes) -> float:
    """Accuracy on the test images in percent; a network measured before is not measured again."""
    log, digest = bench.runs / "test_evaluations.jsonl", hashlib.sha256(content).hexdigest()
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        entry = json.loads(line)
        if entry["sha256"] == digest:
            return float(entry["test_accuracy_percent"])
    accuracy = onnx_accuracy_percent(content, bench.dataset.test_images, bench.dataset.test_labels)
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "sha256": digest, "test_accuracy_percent": accuracy}) + "\n")
    return accuracy
