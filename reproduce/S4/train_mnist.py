"""Trains every MNIST network that the package ships, from the data alone.

    python reproduce/S4/train_mnist.py --runs runs/mnist [--threads 1] [--only square] [--weights FOLDER]

Steps, each resumable (everything made lies in --runs, so a second call goes on where the first stopped):
1. a ReLU teacher, on the first 55,000 training images only;
2. a pool of distorted copies of all 60,000 training images, with the teacher's answers to each copy;
3. the 3layer-CNN with swish-rg5-deg2 and with swish-rg7-deg4, from that pool;
4. the 3layer-CNN with square: the first network with its squares completed, which changes no answer, and fine-tuned;
5. per activation, conv2 pruned to 40 and to 32 filters, each followed by fine-tuning;
6. each finished network becomes an ONNX file with a card, and is measured on the test images, once.

The test images choose nothing: recipes, seeds and numbers of epochs come from comparisons on training images
(`select_recipe.py`, `training_record.json`).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import nn
from training_bench import SEED, Bench, Network, fit, opened_bench, ship, training_arguments

from kakuri.model.passes.prune_channels import prune
from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset, load_mnist
from kakuri.zoo.training import RECIPES, Pool, completed_square, load_pool, make_pool, progress_bar, save_pool, train
from kakuri.zoo.training.recipes import MNIST_POOL

ACTIVATIONS, FAMILY = ("swish-rg5-deg2", "swish-rg7-deg4", "square"), "3layer-CNN"
HELD_OUT = 5_000
COPIES, POOL_SEED = 48, 7
PRUNED_CHANNELS = {"r1": 40, "r2": 32}


def trained_teacher(runs: Path, dataset: ImageDataset, console: Console) -> nn.Module:
    """The teacher; reads its finished checkpoint where there is one. The last 5,000 training images are not shown."""
    torch.manual_seed(SEED)
    teacher = networks.mnist_teacher()
    recipe, held_out = RECIPES["teacher-mnist"], dataset.hold_out(HELD_OUT)
    with progress_bar("teacher", console) as observe:
        checkpoint = runs / "teacher-1.safetensors"
        train(teacher, held_out, recipe, seed=SEED, checkpoint=checkpoint, validation=held_out, observe=observe)
    return teacher.to(memory_format=torch.channels_last)


def made_pool(bench: Bench) -> Pool:
    """The pool, read from its file where there is one."""
    path = bench.runs / "pool.safetensors"
    if path.exists():
        return load_pool(path)
    teachers = [trained_teacher(bench.runs, bench.dataset, bench.console)]
    with bench.console.status(f"pool of {COPIES} distorted copies"):
        pool = make_pool(bench.dataset, MNIST_POOL, copies=COPIES, seed=POOL_SEED, teachers=teachers)
    save_pool(path, pool)
    return pool


def trained(bench: Bench, activation: str, pool: Pool) -> tuple[Network, nn.Module]:
    """The unpruned network with the activation; square is made from the one with swish-rg5-deg2."""
    network = Network(f"mnist-3layer-{activation}", FAMILY, activation, 50, "distilled-mnist")
    torch.manual_seed(SEED)
    module = networks.three_layer_cnn(activation)
    if activation == "square":
        parent, first = trained(bench, "swish-rg5-deg2", pool)
        network = replace(network, recipe="finetuned-mnist", parent=parent.name)
        module.load_state_dict(completed_square(first).state_dict())
    return network, fit(bench, network, module, pool)


def train_family(bench: Bench, activation: str, pool: Pool) -> None:
    """The 3layer-CNN with one activation and its two pruning rounds."""
    facts = {
        "pool": {"copies": COPIES, "seed": POOL_SEED, "augmentation": asdict(MNIST_POOL)},
        "teacher": "mnist_teacher on the first 55,000 training images, answering each copy",
        "teacher_recipe": RECIPES["teacher-mnist"].to_dict(),
    }
    network, module = trained(bench, activation, pool)
    ship(bench, network, module, facts)
    for round_name, channels in PRUNED_CHANNELS.items():
        module = prune(module, torch.zeros(1, 1, 28, 28), layer="conv2", keep=channels)
        name = f"mnist-3layer-{activation}-{round_name}"
        network = Network(name, FAMILY, activation, channels, "finetuned-mnist", parent=network.name)
        ship(bench, network, fit(bench, network, module, pool), facts)


def main() -> None:
    parser = training_arguments(__doc__, "MNIST")
    parser.add_argument("--only", choices=ACTIVATIONS, help="one activation")
    options = parser.parse_args()
    bench = opened_bench(options, load_mnist(options.data))
    pool = made_pool(bench)
    for activation in ACTIVATIONS:
        if options.only in {None, activation}:
            train_family(bench, activation, pool)


if __name__ == "__main__":
    main()
