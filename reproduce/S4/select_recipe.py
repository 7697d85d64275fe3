"""A comparison of training recipes, on training images only.

    python reproduce/S4/select_recipe.py --runs runs/mnist [--activation square] [--epochs 12] [--copies 12]

Candidates train on distorted copies of the first 55,000 training images and answer the last 5,000, which neither they
nor the teacher saw, and one more copy of the first 55,000 that none of them trained on. The test images are not read.
The loss moves less from run to run than the accuracy does: one standard deviation of an accuracy on 5,000 images is
0.09 points. Held-out images tell how a network reads other writers' digits, unseen copies of training images do not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from printed_tables import arguments, show
from rich.console import Console
from torch.nn import functional
from train_mnist import HELD_OUT, POOL_SEED, trained_teacher
from training_bench import SEED

from kakuri.zoo import networks
from kakuri.zoo.data import load_mnist
from kakuri.zoo.training import RECIPES, Pool, Recipe, accuracy_percent, make_pool, train
from kakuri.zoo.training.evaluate import evaluating
from kakuri.zoo.training.recipes import MNIST_POOL

CANDIDATES = (
    {},
    {"learning_rate": 2e-3},
    {"learning_rate": 1e-2},
    {"weight_decay": 0.0},
    {"batch_size": 256},
    {"distillation": 0.0},
    {"range_penalty": 0.0},
)


def loss_and_accuracy(module: torch.nn.Module, unseen: Pool) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy in percent on distorted copies that were not trained on."""
    loss = correct = 0.0
    with evaluating(module):
        for batch in unseen.epoch(torch.Generator().manual_seed(0), 1000):
            logits = module(batch.images)
            loss += float(functional.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += float((logits.argmax(1) == batch.labels).sum())
    return loss / unseen.size, 100 * correct / unseen.size


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of MNIST (default: KAKURI_DATA, else downloaded)")
    parser.add_argument("--activation", choices=networks.ACTIVATIONS, default="swish-rg5-deg2")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--copies", type=int, default=12, help="distorted copies of each image, beside the unseen one")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.runs.mkdir(parents=True, exist_ok=True)
    dataset = load_mnist(options.data)
    held_out, base = dataset.hold_out(HELD_OUT), replace(RECIPES["distilled-mnist"], epochs=options.epochs)
    teacher = trained_teacher(options.runs, dataset, Console(stderr=True))
    pool = make_pool(held_out, MNIST_POOL, copies=options.copies, seed=POOL_SEED, teachers=[teacher])
    unseen, rows = make_pool(held_out, MNIST_POOL, copies=1, seed=POOL_SEED + 1), []
    for change in CANDIDATES:
        recipe: Recipe = replace(base, **change)
        torch.manual_seed(SEED)
        module = networks.three_layer_cnn(options.activation)
        train(module, pool, recipe, seed=SEED)
        loss, unseen_percent = loss_and_accuracy(module, unseen)
        held_out_percent = accuracy_percent(module, held_out.test_images, held_out.test_labels)
        name = ", ".join(f"{key}={value}" for key, value in change.items()) or recipe.name
        figures = {"unseen_copy_loss": round(loss, 4), "unseen_copy_percent": round(unseen_percent, 3)}
        rows.append({"change": name, **figures, "held_out_percent": held_out_percent})
    show(f"{options.activation}: {options.epochs} epochs on 55,000 training images", rows, as_json=options.json)


if __name__ == "__main__":
    main()
