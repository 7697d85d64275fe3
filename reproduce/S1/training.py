"""One training on CIFAR-10 or MNIST, plain or offloaded, and what it took. Used by ``tables.py``.

Systems: ``plain`` (PyTorch alone: unprotected, and at the same time a master without workers, since both run on the
same processor where no accelerator is), ``reordered`` (the same with PyTorch's own convolution in place of oneDNN's,
whose sums have another order: how far rounding alone leads), ``T1``, ``T2``, ``T3`` (offloaded to local worker
processes, T3 to four).
Seconds are of processor time, the workers' included.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kakuri import offload
from kakuri.bench.offload_networks import NETWORKS
from kakuri.offload.places import WorkerProcess
from kakuri.zoo.data import ImageDataset, load_cifar10, load_mnist

PLAIN = ("plain", "reordered")
SGD: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}


@dataclass(frozen=True)
class Work:
    """images to train on, and as many epochs; half as many images to test on. cooling: the learning rate falls to zero
    in a straight line, so that the end of a training does not hang on its last steps."""

    images: int
    epochs: int
    batch: int
    width: int
    data: str = "cifar10"
    cooling: bool = False

    @property
    def name(self) -> str:
        kind = "" if self.data == "cifar10" else f"{self.data}-"
        return f"{kind}{self.images}x{self.epochs}-b{self.batch}-w{self.width}{'-cooling' if self.cooling else ''}"

    @property
    def side(self) -> int:
        return DATA[self.data][1]


@dataclass(frozen=True)
class Pictures:
    """x (b, 3, side, side) float32 (grey pictures three times) with mean 0 and deviation 1 over the training pictures,
    y (b,)."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


DATA: Mapping[str, tuple[Callable[[], ImageDataset], int]] = {
    "cifar10": (functools.cache(load_cifar10), 32),
    "mnist": (functools.cache(load_mnist), 28),
}
"""What reads a data set, and the side of its pictures."""


def pictures(work: Work, seed: int) -> Pictures:
    data = DATA[work.data][0]()
    random = torch.Generator().manual_seed(seed)
    parts = []
    for images, labels, count in (
        (data.train_images, data.train_labels, work.images),
        (data.test_images, data.test_labels, max(work.images // 2, 1)),
    ):
        picked = torch.randperm(len(images), generator=random)[:count].numpy()
        coloured = torch.from_numpy(images[picked]).float().expand(-1, 3, -1, -1)
        parts += [coloured, torch.from_numpy(labels[picked]).long()]
    mean, deviation = parts[0].mean((0, 2, 3), keepdim=True), parts[0].std((0, 2, 3), keepdim=True)
    return Pictures((parts[0] - mean) / deviation, parts[1], (parts[2] - mean) / deviation, parts[3])


System = tuple[nn.Module, torch.optim.Optimizer, Callable[[], float]]
"""A model, its optimizer, and a clock of processor seconds."""


@contextmanager
def _system(name: str, module: nn.Module, key_shift: bool) -> Iterator[System]:
    optimizer = torch.optim.SGD(module.parameters(), **SGD)
    if name in PLAIN:
        with torch.backends.mkldnn.flags(enabled=name == "plain"):
            yield module, optimizer, time.process_time
        return
    with offload.Pool.open("local:4" if name == "T3" else "local:1", threads=torch.get_num_threads()) as pool:
        plan = offload.plan(
            module, tier=name, workers=pool, base="private", master="process", journal_bytes=0, key_shift=key_shift
        )
        model, built, _ = plan.build(optimizer)
        workers = [place for place in pool.places if isinstance(place, WorkerProcess)]
        try:
            yield model, built, lambda: time.process_time() + sum(worker.cpu_seconds() for worker in workers)
        finally:
            offload.session_of(model).close()


def train(network: str, system: str, work: Work, seed: int) -> dict[str, Any]:
    """Losses of every step, accuracy and answers on the test pictures, seconds, and what the session counted."""
    data = pictures(work, seed)
    torch.manual_seed(seed)
    start = NETWORKS[network](work.width, work.side)
    order = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    with _system(system, copy.deepcopy(start), key_shift=True) as (model, optimizer, clock):
        began, steps = clock(), work.epochs * -(-work.images // work.batch)
        for _ in range(work.epochs):
            for picked in torch.randperm(work.images, generator=order).split(work.batch):
                if work.cooling:
                    for group in optimizer.param_groups:
                        group["lr"] = SGD["lr"] * (1 - len(losses) / steps)
                losses.append(step(model, optimizer, data.x[picked], data.y[picked]))
        trained = clock()
        model.eval()
        with torch.no_grad():
            scores = torch.cat([model(part) for part in data.test_x.split(work.batch)])
        answered = clock()
        counters = None if system in PLAIN else offload.session_of(model).counters.to_dict()
    answers = scores.argmax(1)
    return {
        "losses": losses,
        "accuracy": float((answers == data.test_y).float().mean()),
        "answers": answers.tolist(),
        "step_cpu_seconds": (trained - began) / len(losses),
        "answer_cpu_seconds": (answered - trained) / len(answers),
        "counters": counters,
    }


def operations(network: str, system: str, work: Work, seed: int, *, key_shift: bool) -> dict[str, int]:
    """Blindings and unblindings of one training step, without those of the weights, and of the weights."""
    data = pictures(work, seed)
    torch.manual_seed(seed)
    with _system(system, NETWORKS[network](work.width, work.side), key_shift) as (model, optimizer, _):
        step(model, optimizer, data.x[: work.batch], data.y[: work.batch])
        counters = offload.session_of(model).counters
        return {
            "blindings": counters.blindings,
            "unblindings": counters.unblindings,
            "weight_blindings": counters.weight_blindings,
        }


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    model.train()
    optimizer.zero_grad()
    loss = functional.cross_entropy(model(x), y)
    torch.autograd.backward(loss)
    optimizer.step()
    return float(loss.detach())
