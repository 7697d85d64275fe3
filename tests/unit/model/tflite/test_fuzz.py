"""Mutated files: every one gives a model or a KakuriError, quickly and within bounds, and never anything else."""

from __future__ import annotations

import contextlib
import random
import resource

import pytest

from kakuri.errors import KakuriError
from kakuri.model.importers.tflite.load import convert
from tests.unit.model.tflite.mutations import mutate
from tests.unit.model.tflite.test_float_operators import CASES
from tests.unit.model.tflite.test_quantized_operators import ALL

SEEDS = [*CASES.values(), *ALL.values()]


def survivors(seed: int, count: int) -> int:
    """How many of ``count`` mutants load; anything but a KakuriError passes through as a failure."""
    found = 0
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        try:
            convert(mutate(rng.choice(SEEDS), rng))
        except KakuriError:
            continue
        found += 1
    return found


@pytest.mark.timeout(120)
def test_damaged_files():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = survivors(1, 1_500)
    assert 0 < found < 1_500, "mutations should break some models, and not all"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19, "in KiB: half a GiB"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10, 15))
def test_many_damaged_files(seed):
    assert survivors(seed, 20_000) > 0


def test_a_mutant_whose_clamp_is_beyond_every_level_loads_or_is_refused():
    """Found by a long run: a subnormal scale made the clamp infinitely many steps wide."""
    rng = random.Random(11 * 1_000_003 + 17152)
    with contextlib.suppress(KakuriError):
        convert(mutate(rng.choice(SEEDS), rng))
