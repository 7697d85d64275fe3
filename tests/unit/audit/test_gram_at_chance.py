"""Does Gram alignment, under T2 with private weights, find anything in the worker's bytes?

Half of the update's rows are granted to the adversary. An update is nearly of low rank, so these rows alone say
something of the others, whatever bytes stand beside them. Several trainings settle it, every one's bytes beside every
one's truth: if the bytes say nothing, it makes no difference which of them stand beside which truth.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from kakuri.attacks.budget import Budget, Spending
from kakuri.attacks.gram_alignment import GramAlignment, pairs
from kakuri.attacks.target import Target, pose
from kakuri.offload.recording import Recording, record

TRAININGS = 10
INPUTS, OUTPUTS = 64, 48


@functools.cache
def recorded(seed: int) -> Recording:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(20, INPUTS), nn.ReLU(), nn.Linear(INPUTS, OUTPUTS), nn.ReLU(), nn.Linear(OUTPUTS, 4))
    batches = [(torch.randn(64, 20), torch.randint(0, 4, (64,))) for _ in range(4)]
    return record(net, batches, "2", tier="T2")


def found(held: Recording, truth: Recording, base: NDArray[np.float32]) -> float:
    """The attack's correlation when the worker held ``held`` and ``truth`` is asked for."""
    attack, random = GramAlignment(), np.random.default_rng(0)
    update = truth.plain_later_weights.astype(np.float64) - truth.plain_weights
    view, shared = {"weights": pairs(held.weights, held.later_weights)}, {"base": base.astype("<f4").tobytes()}
    target = Target("update", view, {"update": update}, shared=shared)
    question, asked = pose(target, *attack.cases(target, random), random)
    guesses, _ = attack.guess(question, Spending(Budget()), random)
    a, b = guesses - guesses.mean(0), asked - asked.mean(0)
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


def beside_each_other(private: bool) -> NDArray[np.float64]:
    """(trainings, trainings): the correlation with the bytes of column j and the truth of row i."""
    runs = [recorded(seed) for seed in range(TRAININGS)]
    others = [recorded(1000 + seed).plain_weights for seed in range(TRAININGS)]
    bases = others if private else [run.plain_weights for run in runs]
    return np.array([[found(held, truth, base) for held in runs] for truth, base in zip(runs, bases, strict=True)])


def above_permuted(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean with bytes and truth of one training, the mean over permutations of the bytes, and how often those
    reach the first."""
    random, rows = np.random.default_rng(1), np.arange(len(values))
    own = float(np.trace(values)) / len(values)
    permuted = np.array([values[rows, random.permutation(rows)].mean() for _ in range(9_999)])
    return own, float(permuted.mean()), (1 + int((permuted >= own).sum())) / 10_000


@pytest.mark.slow
def test_private_weights_the_bytes_add_nothing_to_the_rows_that_were_granted() -> None:
    own, chance, p_value = above_permuted(beside_each_other(private=True))
    print(f"private base: {own:.3f} with the training's own bytes, {chance:.3f} with others', p {p_value:.3f}")
    assert p_value > 0.001
    assert own - chance < 0.05


@pytest.mark.slow
def test_public_weights_the_bytes_tell_the_update() -> None:
    own, chance, p_value = above_permuted(beside_each_other(private=False))
    print(f"public base: {own:.3f} with the training's own bytes, {chance:.3f} with others', p {p_value:.4f}")
    assert p_value < 0.01
    assert own - chance > 0.4
