"""Teachers and pools for `train_mnist.py`: augmented copies of the training images with the teachers' answers.

Guarantees: teachers train on the first 55,000 training images only, so that the last 5,000 can choose recipes; a pool
is a function of the training images and the settings below. The test images are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from kakuri.zoo import networks
from kakuri.zoo.data import ImageDataset
from kakuri.zoo.training import (
    RECIPES,
    Augmentation,
    Pool,
    join_pools,
    load_pool,
    make_pool,
    progress_bar,
    save_pool,
    train,
)
from kakuri.zoo.training.recipes import MNIST_MILD, MNIST_NEAR, MNIST_WIDE

HELD_OUT = 5_000
TEACHER_SEEDS = (1, 2)
DISTORTIONS = {"wide": MNIST_WIDE, "mild": MNIST_MILD, "near": MNIST_NEAR, "none": Augmentation()}


@dataclass(frozen=True)
class PoolPart:
    """Copies of all training images under one distortion, answered by the mean of some teachers."""

    distortion: str
    copies: int
    seed: int
    teacher_seeds: tuple[int, ...]


#: Teacher 2 is the better one on the held-out images (99.62 against 99.44 %); most copies have its answers alone.
POOLS = {
    "far": (PoolPart("wide", 24, 8, (2,)), PoolPart("mild", 4, 7, (1, 2)), PoolPart("none", 1, 7, (1, 2))),
    "near": (PoolPart("near", 20, 9, (2,)),),
}


@dataclass(frozen=True)
class Bench:
    """runs: folder of everything made; weights: folder of what ships; dataset: MNIST."""

    runs: Path
    weights: Path
    dataset: ImageDataset
    console: Console


def trained_teacher(bench: Bench, seed: int) -> nn.Module:
    """One teacher; reads its finished checkpoint where there is one."""
    torch.manual_seed(seed)
    teacher = networks.mnist_teacher()
    recipe, checkpoint = RECIPES["teacher-mnist"], bench.runs / f"teacher-{seed}.safetensors"
    held_out = bench.dataset.hold_out(HELD_OUT)
    with progress_bar(f"teacher {seed}", bench.console) as observe:
        train(teacher, held_out, recipe, seed=seed, checkpoint=checkpoint, validation=held_out, observe=observe)
    return teacher


def made_pool(bench: Bench, path: Path, parts: tuple[PoolPart, ...]) -> Pool:
    """The pool of ``parts``, read from ``path`` where it exists."""
    if not path.exists():
        teachers = {seed: trained_teacher(bench, seed) for seed in TEACHER_SEEDS}
        pools = []
        for part in parts:
            asked, settings = [teachers[seed] for seed in part.teacher_seeds], DISTORTIONS[part.distortion]
            with bench.console.status(f"{part.copies} copies, {part.distortion}"):
                pools.append(make_pool(bench.dataset, settings, copies=part.copies, seed=part.seed, teachers=asked))
        save_pool(path, join_pools(pools))
    return load_pool(path)
