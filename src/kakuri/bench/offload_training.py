"""Offloaded training against training in the master alone, step by step from equal states, in turns.

Settings: ``--runs`` steps (after one warm-up). Cases are ``vgg/T1``, ``resnet/T2``, ``vit/T1`` and so on, with small
networks on random pictures of 16x16. Workers are processes of this machine; without an accelerator they share the
master's cores, and ``ratio`` (master-only seconds over ours) is then below one by nature.

``verification_share`` is of processor time: what the master spends on checks, over what a step takes of it and of the
workers together.

``loss_difference`` is the largest relative one to plain training over all steps, and ``loss_spread`` the same for plain
training that sums in other orders: PyTorch's own convolution in place of oneDNN's, and batches in another order. Where
ReLU and max-pooling decide by the last bit, either grows from 1e-7 to 1e-3 within a few steps; with smooth activations
neither does.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from kakuri import offload
from kakuri.bench.offload_networks import CLASSES, NETWORKS
from kakuri.bench.rows import Options, Row
from kakuri.offload.places import WorkerProcess

SIDE, WIDTH, BATCH = 16, 16, 32
TIERS = ("T1", "T2")
_SGD: dict[str, Any] = {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4}


def run(options: Options) -> list[Row]:
    """Per network and tier a row of ours and one of the master alone."""
    torch.set_num_threads(options.threads)
    cases = [f"{network}/{tier}" for network in NETWORKS for tier in TIERS]
    chosen = [case for case in cases if options.case in case]
    if not chosen:
        return []
    with offload.Pool.open("local:1", threads=options.threads) as pool:
        return [row for case in chosen for row in _case(case, pool, options)]


class Trainer:
    """A model, its optimizer, and the loss, seconds and processor seconds of each step. workers: whose processor time
    counts beside this process's."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, workers: Sequence[WorkerProcess] = ()
    ) -> None:
        self.model, self.optimizer, self._workers = model, optimizer, workers
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def step(self, x: Tensor, y: Tensor) -> None:
        start, start_cpu = time.perf_counter(), self._cpu()
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(x), y)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(self._cpu() - start_cpu)
        self.losses.append(float(loss.detach()))

    def _cpu(self) -> float:
        return time.process_time() + sum(worker.cpu_seconds() for worker in self._workers)


def _case(case: str, pool: offload.Pool, options: Options) -> list[Row]:
    name, tier = case.split("/")
    torch.manual_seed(0)
    plain = NETWORKS[name](WIDTH, SIDE)
    with (
        _built(copy.deepcopy(plain), tier, pool, key_shift=True) as ours,
        _built(copy.deepcopy(plain), tier, pool, key_shift=False) as fresh,
    ):
        native, shuffled = _plain(copy.deepcopy(plain)), _plain(copy.deepcopy(plain))
        alone = _plain(plain)
        flops = _flops(plain)
        for step in range(options.runs + 1):
            x, y = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(0, CLASSES, (BATCH,))
            for trainer in (ours, alone, *((fresh,) if step == 0 else ())):
                trainer.step(x, y)
            with torch.backends.mkldnn.flags(enabled=False):
                native.step(x, y)
            order = torch.arange(BATCH).flip(0)
            shuffled.step(x[order], y[order])
            options.report(f"{case}: step {step} of {options.runs}")
        counters = offload.session_of(ours.model).counters
        afresh = offload.session_of(fresh.model).counters
        steps = len(ours.losses)
        moved, computed = counters.moved_elements, counters.offloaded_flops
        operations = counters.blindings + counters.unblindings
        batch_elements = _batch_elements(ours.model)
        step_seconds = statistics.median(ours.seconds[1:])
        alone_seconds = statistics.median(alone.seconds[1:])
        figures: dict[str, float | int | str] = {
            "loss_difference": _difference(ours, alone),
            "loss_spread": max(_difference(native, alone), _difference(shuffled, alone)),
            "offloaded_share": computed / (steps * flops),
            "keyshift_ratio": (afresh.blindings + afresh.unblindings) / (operations / steps),
            "moved_ratio": moved / (steps * batch_elements),
            "weight_blindings_per_layer": counters.weight_blindings / len(offload.session_of(ours.model).layers),
            "incidents": counters.incidents + afresh.incidents,
            "step_seconds": step_seconds,
            "blinding_seconds": counters.blinding_seconds / steps,
            "verification_seconds": counters.verification_seconds / steps,
            "step_cpu_seconds": sum(ours.cpu_seconds) / steps,
            "verification_cpu_seconds": counters.verification_cpu_seconds / steps,
            "verification_share": counters.verification_cpu_seconds / sum(ours.cpu_seconds),
            "waiting_seconds": counters.waiting_seconds / steps,
            "ratio": alone_seconds / step_seconds,
        }
    return [Row("kakuri", case, figures), Row("master-only", case, {"step_seconds": alone_seconds})]


def _plain(model: nn.Module) -> Trainer:
    return Trainer(model, torch.optim.SGD(model.parameters(), **_SGD))


def _difference(first: Trainer, second: Trainer) -> float:
    """The largest relative one of any step's loss."""
    return max(abs(a - b) / abs(b) for a, b in zip(first.losses, second.losses, strict=True))


@contextmanager
def _built(model: nn.Module, tier: str, pool: offload.Pool, *, key_shift: bool) -> Iterator[Trainer]:
    plan = offload.plan(
        model, tier=tier, workers=pool, base="private", master="process", journal_bytes=0, key_shift=key_shift
    )
    built, optimizer, _ = plan.build(torch.optim.SGD(model.parameters(), **_SGD))
    try:
        yield Trainer(built, optimizer, [place for place in pool.places if isinstance(place, WorkerProcess)])
    finally:
        offload.session_of(built).close()


def _flops(model: nn.Module) -> int:
    """Of one plain step, forward and backward, as PyTorch counts them."""
    clone = copy.deepcopy(model)
    with FlopCounterMode(display=False) as counter:
        scores = clone(torch.randn(BATCH, 3, SIDE, SIDE))
        torch.autograd.backward(functional.cross_entropy(scores, torch.zeros(BATCH, dtype=torch.long)))
    return int(counter.get_total_flops())


def _batch_elements(model: nn.Module) -> int:
    """Sum over offloaded layers of b (n + m), b being the rows of the matrix that stands for the layer's input."""
    rows: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            channels = output.shape[1] if output.dim() == 4 else output.shape[-1]
            rows[name] = output.numel() // channels

        return hook

    shapes = {}
    hooks = []
    for name, part in model.named_modules():
        home = getattr(part, "home", None)
        if home is not None:
            shapes[name] = (home.weight_shape[1:].numel(), home.weight_shape[0])
            hooks.append(part.register_forward_hook(note(name)))
    with torch.no_grad():
        model(torch.zeros(BATCH, 3, SIDE, SIDE))
    for hook in hooks:
        hook.remove()
    return sum(rows[name] * (n + m) for name, (n, m) in shapes.items())
