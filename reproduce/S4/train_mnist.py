"""Trains every MNIST network that the package ships, from the data alone.

    python reproduce/S4/train_mnist.py --runs runs/mnist [--threads 1] [--only square] [--weights FOLDER]

Steps, each resumable (everything made lies in --runs, so a second call goes on where the first stopped):
1. two ReLU teachers, on the first 55,000 training images only;
2. a pool of augmented copies of all 60,000 training images with the teachers' answers;
3. per activation: the 3layer-CNN, then conv2 pruned to 40 and to 32 filters, each followed by fine-tuning;
4. each finished network becomes an ONNX file with a card, and is measured on the test images, once.

The test images choose nothing: recipe, seed and number of epochs are fixed before step 4, by the runs of
`select_recipe.py` on the 5,000 training images that the teachers never saw. Each line of test_evaluations.jsonl in
--runs is one measurement on the test images; the file only grows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from kakuri.model.passes.prune_channels import prune
from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset, load_mnist
from kakuri.zoo.onnx_evaluation import onnx_accuracy_percent
from kakuri.zoo.training import (
    RECIPES,
    Augmentation,
    Pool,
    join_pools,
    load_pool,
    make_pool,
    progress_bar,
    publish,
    save_pool,
    to_onnx,
    train,
)
from kakuri.zoo.training.recipes import MNIST_MILD, MNIST_WIDE

DOCUMENT_ACTIVATIONS = ("square", "swish-rg5-deg2", "swish-rg7-deg4")
HELD_OUT = 5_000
SEED = 1
TEACHER_SEEDS = (1, 2)
POOL_COPIES = {"wide": 4, "mild": 4, "none": 1}
POOL_DISTORTIONS = {"wide": MNIST_WIDE, "mild": MNIST_MILD, "none": Augmentation()}
POOL_SEED = 7
PRUNED_CHANNELS = {"r1": 40, "r2": 32}

console = Console(stderr=True)


@dataclass(frozen=True)
class Bench:
    """What every step needs."""

    runs: Path
    weights: Path
    dataset: ImageDataset


def trained_teacher(bench: Bench, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    teacher = networks.mnist_teacher()
    held_out = bench.dataset.hold_out(HELD_OUT)
    with progress_bar(f"teacher {seed}", console) as observe:
        checkpoint = bench.runs / f"teacher-{seed}.safetensors"
        recipe = RECIPES["teacher-mnist"]
        train(teacher, held_out, recipe, seed=seed, checkpoint=checkpoint, validation=held_out, observe=observe)
    return teacher


def pool_of(bench: Bench) -> Pool:
    path = bench.runs / "pool.safetensors"
    if not path.exists():
        teachers = [trained_teacher(bench, seed) for seed in TEACHER_SEEDS]
        with console.status("augmenting and asking the teachers"):
            parts = [
                make_pool(bench.dataset, POOL_DISTORTIONS[name], copies=copies, seed=POOL_SEED, teachers=teachers)
                for name, copies in POOL_COPIES.items()
            ]
        save_pool(path, join_pools(parts))
    return load_pool(path)


@dataclass(frozen=True)
class Network:
    """One network that ships."""

    name: str
    activation: str
    channels: int
    recipe: str


def fit(bench: Bench, pool: Pool, module: nn.Module, network: Network) -> nn.Module:
    recipe, checkpoint = RECIPES[network.recipe], bench.runs / f"{network.name}.safetensors"
    with progress_bar(network.name, console) as observe:
        train(module, pool, recipe, seed=SEED, checkpoint=checkpoint, checkpoint_every=10, observe=observe)
    return module


def ship(bench: Bench, network: Network, module: nn.Module) -> None:
    """Measure on the test images once, then publish with that figure on the card."""
    content = to_onnx(module, (1, 28, 28), network.name)
    accuracy = measured_once(bench, network.name, content)
    training = {
        "recipe": RECIPES[network.recipe].to_dict(),
        "seed": SEED,
        "teacher_recipe": RECIPES["teacher-mnist"].to_dict(),
        "teacher_seeds": list(TEACHER_SEEDS),
        "pool_copies": POOL_COPIES,
        "pool_seed": POOL_SEED,
    }
    facts = {
        "network": "3layer-CNN",
        "activation": network.activation,
        "channels": network.channels,
        "status": "final",
        "test_accuracy_percent": accuracy,
        "training": training,
    }
    publish(bench.weights / f"{network.name}.onnx", content, module, bench.dataset, facts)
    console.print(f"{network.name}: {accuracy:.2f} % of {len(bench.dataset.test_labels)} test images")


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


def train_family(bench: Bench, pool: Pool, activation: str, *, pruned: bool, recipe: str) -> None:
    """The 3layer-CNN with one activation and, where asked, its two pruning rounds."""
    torch.manual_seed(SEED)
    network = Network(f"mnist-3layer-{activation}", activation, 50, recipe)
    module = fit(bench, pool, networks.three_layer_cnn(activation), network)
    ship(bench, network, module)
    for round_name, channels in PRUNED_CHANNELS.items() if pruned else ():
        module = prune(module, torch.zeros(1, 1, 28, 28), layer="conv2", keep=channels)
        network = Network(f"mnist-3layer-{activation}-{round_name}", activation, channels, "finetuned-mnist")
        ship(bench, network, fit(bench, pool, module, network))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder for checkpoints, the pool and the record")
    parser.add_argument("--weights", type=Path, help="where the ONNX files go (default: --runs/weights)")
    parser.add_argument("--data", type=Path, help="folder of MNIST (default: KAKURI_DATA, else downloaded)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=networks.ACTIVATIONS, help="one activation")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench = Bench(options.runs, options.weights or options.runs / "weights", load_mnist(options.data))
    for folder in (bench.runs, bench.weights):
        folder.mkdir(parents=True, exist_ok=True)
    pool = pool_of(bench)
    for activation in DOCUMENT_ACTIVATIONS:
        if options.only in {None, activation}:
            train_family(bench, pool, activation, pruned=True, recipe="distilled-mnist")
    for activation in networks.ACTIVATIONS:
        if activation not in DOCUMENT_ACTIVATIONS and options.only in {None, activation}:
            train_family(bench, pool, activation, pruned=False, recipe="distilled-short-mnist")


if __name__ == "__main__":
    main()
