"""Real processes, killed, silenced and restarted at random moments: the result is that of an undisturbed training."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kakuri import offload
from kakuri.offload.places import TIMEOUT_SECONDS, Place, WorkerProcess

from .networks import Convolutional, batches, largest_difference, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STEPS, KILLS = 5, 50
TRAININGS, ROUNDS = 5, 5  # two kills each: 50
ROUNDING = 2e-5  # over so few steps; a lost or doubled update is hundreds of times larger
ROUNDING_OF_MANY = 2e-4  # after 25 steps
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}


class Fate:
    """Sends a signal to a worker when its message number ``at`` has been sent or has been answered."""

    def __init__(self, at: int, sign: signal.Signals = signal.SIGKILL) -> None:
        self.at, self.sign, self.seen = at, sign, 0
        self.victim: WorkerProcess | None = None

    def __call__(self, direction: str, frame: bytes, tensors: tuple[Tensor, ...]) -> None:
        self.seen += 1
        if self.seen == self.at and self.victim is not None:
            self.victim.process.send_signal(self.sign)

    def worker(self, timeout_seconds: float = TIMEOUT_SECONDS) -> WorkerProcess:
        self.victim = WorkerProcess("victim", observer=self, timeout_seconds=timeout_seconds)
        return self.victim


def after_training(start: Convolutional, places: list[Place], tier: str) -> tuple[Convolutional, list[str]]:
    """What comes out of ``STEPS`` steps, and what was said about each incident."""
    module = copy.deepcopy(start)
    plan = offload.plan(module, tier=tier, base="private", master="process", workers=offload.Pool(places))
    model, optimizer, _ = plan.build(torch.optim.SGD(module.parameters(), **SGD))
    train(model, optimizer, batches(STEPS))
    result = copy.deepcopy(start)
    result.load_state_dict(model.state_dict())
    session = offload.session_of(model)
    session.close()
    return result, [str(entry.details) for entry in session.log.entries if entry.event == "incident"]


def undisturbed(start: Convolutional) -> Convolutional:
    plain = copy.deepcopy(start)
    train(plain, torch.optim.SGD(plain.parameters(), **SGD), batches(STEPS))
    return plain


@pytest.fixture(scope="module")
def survivor() -> Iterator[WorkerProcess]:
    place = WorkerProcess("survivor")
    yield place
    place.close()


@pytest.mark.parametrize("tier", ["T1", "T2"])
@pytest.mark.parametrize("alone", [True, False], ids=["the only worker", "one of two"])
def test_a_worker_may_be_killed_at_any_step(tier: str, alone: bool, survivor: WorkerProcess) -> None:
    start = Convolutional()
    expected = undisturbed(start)
    others: list[Place] = [] if alone else [survivor]
    whole = Fate(at=0)
    place = whole.worker()
    first, incidents = after_training(start, [place, *others], tier)
    count = whole.seen  # without the goodbye
    place.close()
    assert not incidents
    assert largest_difference(first, expected) < ROUNDING
    chance = random.Random(f"{tier} {alone}")
    moments = sorted(chance.sample(range(1, count + 1), KILLS // 4 + 1))
    worst, met = 0.0, 0
    for at in moments:
        victim = Fate(at).worker()
        made, incidents = after_training(start, [victim, *others], tier)
        assert victim.process.wait(timeout=60) == -signal.SIGKILL
        victim.close()
        assert all("'worker': 'victim'" in incident for incident in incidents)
        met += len(incidents)
        worst = max(worst, largest_difference(made, expected))
    print(f"{tier}, alone {alone}: {len(moments)} kills, {met} incidents, largest difference {worst:.2g}")
    assert worst < ROUNDING
    assert 0.5 * len(moments) <= met <= len(moments)  # a kill after the last answer is not noticed
    assert not survivor.quarantined


@pytest.mark.parametrize("tier", ["T1", "T2"])
def test_a_worker_that_falls_silent_is_left_behind(tier: str) -> None:
    start = Convolutional()
    victim = Fate(at=40, sign=signal.SIGSTOP).worker(timeout_seconds=30.0)
    made, incidents = after_training(start, [victim], tier)
    victim.close()
    assert len(incidents) == 1
    assert victim.process.returncode == -signal.SIGKILL
    assert largest_difference(made, undisturbed(start)) < ROUNDING


@pytest.mark.parametrize("seed", range(TRAININGS))
def test_master_and_worker_may_be_killed_again_and_again(seed: int, tmp_path: Path) -> None:
    """In each round first the worker, then the master, who starts again from its sealed checkpoint. One training for
    each seed, so that ``pytest --stepwise`` goes on where it was stopped."""
    checkpoint, tier = tmp_path / "training.sealed", ("T1", "T2")[seed % 2]
    command = [sys.executable, "-m", "tests.unit.offload.restarted_master", tier]
    whole, result, steps = tmp_path / "whole", tmp_path / "result", 5 * ROUNDS

    def master(sealed: Path, to: Path) -> subprocess.Popen[str]:
        return subprocess.Popen([*command, str(sealed), str(to), str(steps)], stdout=subprocess.PIPE, text=True)

    with master(tmp_path / "undisturbed.sealed", whole) as process:
        process.communicate()
        assert process.returncode == 0
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        with master(checkpoint, result) as process:
            assert process.stdout is not None
            worker = int(process.stdout.readline().split()[1])
            for kill in (lambda pid=worker: os.kill(pid, signal.SIGKILL), process.kill):
                for _ in range(chance.randint(0, 2)):
                    process.stdout.readline()
                time.sleep(chance.random() * 0.02)  # within a step, a checkpoint, or between
                assert process.poll() is None
                kill()
        _wait_for_the_end_of(worker)
        assert not result.exists()
        for path in tmp_path.glob("*training.sealed*"):  # the unfinished file of a killed master, too
            assert b"fc1.weight" not in path.read_bytes()
    with master(checkpoint, result) as process:
        process.communicate()
        assert process.returncode == 0
    first, second = load_file(whole), load_file(result)
    assert set(first) == set(second)
    worst = max(float((first[name] - second[name]).double().abs().max()) for name in first)
    print(f"{tier}: {2 * ROUNDS} kills, largest difference {worst:.2g}")
    assert worst < ROUNDING_OF_MANY


def _wait_for_the_end_of(worker: int) -> None:
    """A worker ends when its master is gone."""
    for _ in range(600):
        try:
            state = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":  # ended, and nobody has asked how
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} outlived its master by a minute")
