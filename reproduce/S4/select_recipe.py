"""The comparison by which the training recipe was chosen, on training images only.

    python reproduce/S4/select_recipe.py --runs runs/mnist [--activation square] [--threads 1]

Five candidates train for 20 epochs on the first 55,000 training images and answer the last 5,000, which neither they
nor the teachers saw. The test images are not read. One row per candidate: accuracy in percent, and the mean negative
log-likelihood after the best single scaling of the logits, which moves less from run to run than the accuracy does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mnist_pools import HELD_OUT, Bench, PoolPart, made_pool
from printed_tables import arguments, show
from rich.console import Console
from train_mnist import SEED

from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset, load_mnist
from kakuri.zoo.training import Recipe, accuracy_percent, logits_of, train

_PLAIN = Recipe(
    "plain",
    epochs=20,
    learning_rate=6e-3,
    schedule="cosine",
    warmup_epochs=1.0,
    ema_decay=0.995,
    range_penalty=0.01,
    range_limit=5.0,
    gradient_clip=1.0,
)
_DISTILLED = replace(_PLAIN, name="distilled", distillation=0.9, temperature=4.0)
CANDIDATES = (
    ("wide", _DISTILLED),
    ("mild", _DISTILLED),
    ("mild", replace(_DISTILLED, name="teacher only", distillation=1.0, temperature=2.0)),
    ("mild", _PLAIN),
    ("mild", replace(_DISTILLED, name="large batches", batch_size=256, learning_rate=1.2e-2)),
)


def calibrated_loss(module: torch.nn.Module, held_out: ImageDataset) -> float:
    """Smallest mean negative log-likelihood over scalings 0.3 to 2.9 of the logits, in nats."""
    logits, labels = logits_of(module, held_out.test_images), torch.from_numpy(held_out.test_labels)
    scalings = np.arange(0.3, 3.0, 0.1)
    return min(float(torch.nn.functional.cross_entropy(logits * float(scale), labels)) for scale in scalings)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of MNIST (default: KAKURI_DATA, else downloaded)")
    parser.add_argument("--activation", choices=networks.ACTIVATIONS, default="square")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.runs.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.runs, options.runs, load_mnist(options.data), Console(stderr=True))
    held_out, rows = bench.dataset.hold_out(HELD_OUT), []
    for distortion, recipe in CANDIDATES:
        torch.manual_seed(SEED)
        module = networks.three_layer_cnn(options.activation)
        path = options.runs / f"selection-pool-{distortion}.safetensors"
        pool = made_pool(bench, path, (PoolPart(distortion, 4, 7, (1, 2)),))
        train(module, pool.without_last(HELD_OUT), recipe, seed=SEED)
        accuracy = accuracy_percent(module, held_out.test_images, held_out.test_labels)
        loss = round(calibrated_loss(module, held_out), 4)
        rows.append({"recipe": recipe.name, "distortion": distortion, "validation_percent": accuracy, "loss": loss})
    show(f"{options.activation}: candidates on {HELD_OUT:,} held-out training images", rows, as_json=options.json)


if __name__ == "__main__":
    main()
