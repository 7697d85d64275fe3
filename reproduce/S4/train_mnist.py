"""Trains every MNIST network that the package ships, from the data alone.

    python reproduce/S4/train_mnist.py --runs runs/mnist [--threads 1] [--only square] [--weights FOLDER]

Steps, each resumable (everything made lies in --runs, so a second call goes on where the first stopped):
1. two ReLU teachers, on the first 55,000 training images only;
2. the 3layer-CNN with swish-rg5-deg2 and with swish-rg7-deg4, on freshly distorted images every epoch, each answered by
   the teachers (the answers are kept, so that the second network costs no teacher);
3. the 3layer-CNN with square: the first network with its squares completed, which changes no answer;
4. per activation, conv2 pruned to 40 and to 32 filters, each followed by fine-tuning on the same stream;
5. each finished network becomes an ONNX file with a card, and is measured on the test images, once.

The test images choose nothing: recipes, seeds and numbers of epochs come from comparisons on training images
(`select_recipe.py`, `training_record.json`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import nn
from training_bench import SEED, Bench, Network, fit, opened_bench, ship, training_arguments

from kakuri.model.passes.prune_channels import prune
from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset, load_mnist
from kakuri.zoo.training import RECIPES, Stream, completed_square, progress_bar, train

ACTIVATIONS, FAMILY = ("swish-rg5-deg2", "swish-rg7-deg4", "square"), "3layer-CNN"
HELD_OUT = 5_000
TEACHER_SEEDS = (1, 2)
PRUNED_CHANNELS = {"r1": 40, "r2": 32}


def trained_teachers(runs: Path, dataset: ImageDataset, console: Console) -> list[nn.Module]:
    """The teachers; reads a finished one's checkpoint where there is one. They never see the last 5,000 images."""
    recipe, held_out, teachers = RECIPES["teacher-mnist"], dataset.hold_out(HELD_OUT), []
    for seed in TEACHER_SEEDS:
        torch.manual_seed(seed)
        teacher = networks.mnist_teacher()
        with progress_bar(f"teacher {seed}", console) as observe:
            checkpoint = runs / f"teacher-{seed}.safetensors"
            train(teacher, held_out, recipe, seed=seed, checkpoint=checkpoint, validation=held_out, observe=observe)
        teachers.append(teacher.to(memory_format=torch.channels_last))
    return teachers


def opened_stream(bench: Bench, teachers: Sequence[nn.Module]) -> Stream:
    """Freshly distorted training images with the teachers' answers."""
    memory = bench.runs / "answers"
    memory.mkdir(exist_ok=True)
    return Stream.of(bench.dataset, RECIPES["distilled-mnist"].augmentation, teachers, memory)


def trained(bench: Bench, activation: str, stream: Stream) -> tuple[Network, nn.Module]:
    """The unpruned network with the activation; square is made from the one with swish-rg5-deg2."""
    if activation == "square":
        parent, first = trained(bench, "swish-rg5-deg2", stream)
        network = Network("mnist-3layer-square", FAMILY, activation, 50, "distilled-mnist", parent.name)
        return network, completed_square(first)
    network = Network(f"mnist-3layer-{activation}", FAMILY, activation, 50, "distilled-mnist")
    torch.manual_seed(SEED)
    return network, fit(bench, network, networks.three_layer_cnn(activation), stream)


def train_family(bench: Bench, activation: str, stream: Stream) -> None:
    """The 3layer-CNN with one activation and its two pruning rounds."""
    facts = {
        "teacher": "two mnist_teacher on the first 55,000 training images, their mean answer to each distorted image",
        "teacher_recipe": RECIPES["teacher-mnist"].to_dict(),
    }
    network, module = trained(bench, activation, stream)
    ship(bench, network, module, facts)
    for round_name, channels in PRUNED_CHANNELS.items():
        module = prune(module, torch.zeros(1, 1, 28, 28), layer="conv2", keep=channels)
        name = f"mnist-3layer-{activation}-{round_name}"
        network = Network(name, FAMILY, activation, channels, "finetuned-mnist", parent=network.name)
        ship(bench, network, fit(bench, network, module, stream), facts)


def main() -> None:
    parser = training_arguments(__doc__, "MNIST")
    parser.add_argument("--only", choices=ACTIVATIONS, help="one activation")
    options = parser.parse_args()
    bench = opened_bench(options, load_mnist(options.data))
    stream = opened_stream(bench, trained_teachers(bench.runs, bench.dataset, bench.console))
    for activation in ACTIVATIONS:
        if options.only in {None, activation}:
            train_family(bench, activation, stream)


if __name__ == "__main__":
    main()
