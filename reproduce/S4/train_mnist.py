"""Trains every MNIST network that the package ships, from the data alone.

    python reproduce/S4/train_mnist.py --runs runs/mnist [--threads 1] [--only square] [--weights FOLDER]

Steps, each resumable (everything made lies in --runs, so a second call goes on where the first stopped):
1. two ReLU teachers, on the first 55,000 training images only;
2. pools of augmented copies of all 60,000 training images with the teachers' answers (`mnist_pools.py`);
3. per activation: the 3layer-CNN in two stages, far and near distortions, then conv2 pruned to 40 and to 32 filters,
   each followed by fine-tuning;
4. each finished network becomes an ONNX file with a card, and is measured on the test images, once.

The test images choose nothing: recipes, seeds and numbers of epochs come from runs on 5,000 training images that the
teachers never saw (`select_recipe.py`, `training_record.json`). Each line of test_evaluations.jsonl in --runs is one
measurement on the test images; the file only grows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from mnist_pools import POOLS, Bench, made_pool
from rich.console import Console
from torch import nn

from kakuri.model.passes.prune_channels import prune
from kakuri.zoo import networks
from kakuri.zoo.data import load_mnist
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent
from kakuri.zoo.training import RECIPES, progress_bar, publish, to_onnx, train

DOCUMENT_ACTIVATIONS = ("square", "swish-rg5-deg2", "swish-rg7-deg4")
SEED = 1
PRUNED_CHANNELS = {"r1": 40, "r2": 32}

#: Which pool each recipe learns from.
POOL_OF = {
    "distilled-mnist": "far",
    "refined-mnist": "near",
    "finetuned-mnist": "near",
    "distilled-short-mnist": "far",
    "refined-short-mnist": "near",
}


@dataclass(frozen=True)
class Network:
    """One network that ships; stages: names of recipes, one after the other."""

    name: str
    activation: str
    channels: int
    stages: tuple[str, ...]


def fit(bench: Bench, network: Network, module: nn.Module) -> nn.Module:
    """Train ``module`` through the network's stages."""
    for stage in network.stages:
        pool = made_pool(bench, bench.runs / f"pool-{POOL_OF[stage]}.safetensors", POOLS[POOL_OF[stage]])
        checkpoint = bench.runs / f"{network.name}.{stage}.safetensors"
        with progress_bar(f"{network.name} {stage}", bench.console) as observe:
            train(module, pool, RECIPES[stage], seed=SEED, checkpoint=checkpoint, checkpoint_every=5, observe=observe)
    return module


def ship(bench: Bench, network: Network, module: nn.Module) -> None:
    """Measure on the test images once, then publish with that figure on the card."""
    content = to_onnx(module, (1, 28, 28), network.name)
    accuracy = measured_once(bench, network.name, content)
    stages = [
        {"recipe": RECIPES[stage].to_dict(), "pool": [asdict(part) for part in POOLS[POOL_OF[stage]]]}
        for stage in network.stages
    ]
    facts = {
        "network": "3layer-CNN",
        "activation": network.activation,
        "channels": network.channels,
        "status": "final",
        "test_accuracy_percent": accuracy,
        "training": {"seed": SEED, "stages": stages, "teacher_recipe": RECIPES["teacher-mnist"].to_dict()},
    }
    publish(bench.weights / f"{network.name}.onnx", content, module, bench.dataset, facts)
    bench.console.print(f"{network.name}: {accuracy:.2f} % of {len(bench.dataset.test_labels)} test images")


def measured_once(bench: Bench, name: str, content: bytes) -> float:
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


def train_family(bench: Bench, activation: str) -> None:
    """The 3layer-CNN with one activation and, for the three that the document prunes, its two pruning rounds."""
    pruned = activation in DOCUMENT_ACTIVATIONS
    stages = ("distilled-mnist", "refined-mnist") if pruned else ("distilled-short-mnist", "refined-short-mnist")
    network = Network(f"mnist-3layer-{activation}", activation, 50, stages)
    torch.manual_seed(SEED)
    module = fit(bench, network, networks.three_layer_cnn(activation))
    ship(bench, network, module)
    for round_name, channels in PRUNED_CHANNELS.items() if pruned else ():
        module = prune(module, torch.zeros(1, 1, 28, 28), layer="conv2", keep=channels)
        network = Network(f"mnist-3layer-{activation}-{round_name}", activation, channels, ("finetuned-mnist",))
        ship(bench, network, fit(bench, network, module))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints, pools and the record")
    parser.add_argument("--weights", type=Path, help="where the ONNX files go (default: --runs/weights)")
    parser.add_argument("--data", type=Path, help="folder of MNIST (default: KAKURI_DATA, else downloaded)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=networks.ACTIVATIONS, help="one activation")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weights = options.weights or options.runs / "weights"
    for folder in (options.runs, weights):
        folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.runs, weights, load_mnist(options.data), Console(stderr=True))
    others = [activation for activation in networks.ACTIVATIONS if activation not in DOCUMENT_ACTIVATIONS]
    for activation in (*DOCUMENT_ACTIVATIONS, *others):
        if options.only in {None, activation}:
            train_family(bench, activation)


if __name__ == "__main__":
    main()
