"""Trains every CIFAR-10 network that the package ships.

    python reproduce/S4/train_cifar10.py --runs runs/cifar10 --teacher resnet20.npz [--threads 1] [--weights FOLDER]

Steps, each resumable (everything made lies in --runs, so a second call goes on where the first stopped):
1. the answers of a published ResNet-20 to the training images, once (`cifar10_teacher.py`);
2. the 4layer-CNN with swish-rg5-deg2;
3. the 4layer-CNN with square (a short run: it can nearly express the network of step 2) and with swish-rg7-deg4 (a
   longer one: it can express more), each beginning as the network of step 2;
4. per activation, conv2 pruned to 58, 52 and 45 filters, each followed by fine-tuning;
5. each finished network becomes an ONNX file with a card, and is measured on the test images, once.
"""

from __future__ import annotations

from pathlib import Path

import torch
from cifar10_teacher import teacher_answers
from torch import nn
from training_bench import SEED, Bench, Network, fit, opened_bench, ship, training_arguments

from kakuri.model.passes.prune_channels import prune
from kakuri.zoo import networks
from kakuri.zoo.data import load_cifar10
from kakuri.zoo.networks import FourLayerCNN
from kakuri.zoo.training import RECIPES, Source, completed_square

FIRST, FAMILY = "swish-rg5-deg2", "4layer-CNN"
ACTIVATIONS = (FIRST, "square", "swish-rg7-deg4")
PRUNED_CHANNELS = {"r1": 58, "r2": 52, "r3": 45}


#: Standard deviation of the activations' inputs at the start: at 1 a polynomial is nearly linear, and learning slow.
FIRST_SPREAD = 3.0
#: Factor on those inputs where the first network's weights meet an activation of degree 4: outside its range it falls
#: steeply, and the first network uses more than its range (with 1 the third epoch ends at 49 %, with this one at 67 %).
RAISED_SPREAD = 0.6
#: Recipe of an unpruned network by how its activation relates to the first one's.
UNPRUNED = {FIRST: "distilled-cifar10", "square": "rebased-cifar10", "swish-rg7-deg4": "raised-cifar10"}


def begun(activation: str, first: FourLayerCNN | None) -> FourLayerCNN:
    """A network with the activation: fresh for the first one, else with the first one's trained weights."""
    torch.manual_seed(SEED)
    module = networks.four_layer_cnn(activation)
    norms = (module.bn1, module.bn2, module.bn3)
    if first is None:
        for norm in norms:
            nn.init.constant_(norm.weight, FIRST_SPREAD)
        return module
    module.load_state_dict((completed_square(first) if activation == "square" else first).state_dict())
    if UNPRUNED[activation] == "raised-cifar10":
        with torch.no_grad():
            for norm in norms:
                norm.weight.mul_(RAISED_SPREAD)
                norm.bias.mul_(RAISED_SPREAD)
    return module


FACTS = {"teacher": "a published ResNet-20, 91.70 % on the test images, answers to training images only"}


def train_unpruned(bench: Bench, activation: str, source: Source, first: FourLayerCNN | None = None) -> FourLayerCNN:
    """The network with all its filters, from the beginning or from ``first``."""
    parent = "" if first is None else f"cifar10-4layer-{FIRST}"
    network = Network(f"cifar10-4layer-{activation}", FAMILY, activation, 64, UNPRUNED[activation], parent)
    module = begun(activation, first)
    ship(bench, network, fit(bench, network, module, source), FACTS)
    return module


def train_pruned(bench: Bench, activation: str, source: Source, unpruned: FourLayerCNN) -> None:
    """The pruning rounds, each beginning where the one before ended."""
    module: nn.Module = unpruned
    for round_name, channels in PRUNED_CHANNELS.items():
        module = prune(module, torch.zeros(1, 3, 32, 32), layer="conv2", keep=channels)
        name = f"cifar10-4layer-{activation}-{round_name}"
        parent = f"cifar10-4layer-{activation}"
        network = Network(name, FAMILY, activation, channels, "finetuned-cifar10", parent)
        ship(bench, network, fit(bench, network, module, source), FACTS)


def main() -> None:
    parser = training_arguments(__doc__, "CIFAR-10")
    parser.add_argument("--teacher", type=Path, required=True, help="resnet20.npz, see cifar10_teacher.py")
    options = parser.parse_args()
    bench = opened_bench(options, load_cifar10(options.data))
    images, labels = bench.dataset.train_images, bench.dataset.train_labels
    answers = teacher_answers(options.teacher, images, bench.runs / "teacher.safetensors")
    augmentation = RECIPES["distilled-cifar10"].augmentation
    source = Source(torch.from_numpy(images), torch.from_numpy(labels), augmentation, answers)
    first = train_unpruned(bench, FIRST, source)
    unpruned = {name: train_unpruned(bench, name, source, first) for name in ACTIVATIONS[1:]}
    for activation in ACTIVATIONS:
        train_pruned(bench, activation, source, {FIRST: first, **unpruned}[activation])


if __name__ == "__main__":
    main()
