"""Mutated files: every one gives a model or a KakuriError, and never anything else."""

from __future__ import annotations

import random

import pytest

from kakuri.errors import KakuriError
from kakuri.model import from_bytes, to_bytes
from kakuri.model.importers.onnx import normalize, parse
from kakuri.model.passes import fold_coefficients, recognize_polynomial
from tests.unit.model.builders import loaded, seeds
from tests.unit.model.mutations import mutate
from tests.unit.model.test_fold_coefficients import FLATTEN, gemm_then_quadratic, pooled


def survivors(data: list[bytes], read, seed: int, count: int) -> int:
    """How many of ``count`` mutants are read as models; anything but a KakuriError passes through as a failure."""
    found = 0
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        try:
            read(mutate(rng.choice(data), rng))
        except KakuriError:
            continue
        found += 1
    return found


def check(data, read, seed, count):
    found = survivors(data, read, seed, count)
    assert 0 < found < count / 2, "mutations should mostly, but not always, break a model"


def packaged() -> list[bytes]:
    nets = [loaded(gemm_then_quadratic()), loaded(pooled(*FLATTEN))]
    return [to_bytes(fold_coefficients(recognize_polynomial(net))) for net in nets]


@pytest.mark.timeout(120)
def test_damaged_files():
    check(seeds(), lambda data: normalize(parse(data)), seed=1, count=2_000)


@pytest.mark.timeout(120)
def test_damaged_packaged_models():
    check(packaged(), from_bytes, seed=2, count=1_000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(10, 30))
def test_many_damaged_files(seed):
    check(seeds(), lambda data: normalize(parse(data)), seed, count=5_000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_damaged_packaged_models():
    check(packaged(), from_bytes, seed=20, count=10_000)
