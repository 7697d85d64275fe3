"""Sums of rotations: which keys the compiler asks for, and that the predicted work is what the kernel does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri import _ckks
from kakuri.encrypted.build import Builder
from kakuri.encrypted.multiplexed.scales import ElasticChain
from kakuri.encrypted.noise import NoiseModel
from kakuri.encrypted.program import RotateSum
from kakuri.encrypted.timing import sum_stages
from tests.unit.ckks.conftest import Ring, make_ring
from tests.unit.encrypted.networks import four_layer_cnn
from tests.unit.encrypted.simulate import multiplexed


@pytest.fixture(scope="module")
def ring() -> Ring:
    return make_ring(6, [45, 40, 40, 48], 1, 3, 2.0**40, insecure=True)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.sampled_from([1, 2, 4, 8, 30, 31]), min_size=1, max_size=5),
    more=st.dictionaries(st.sampled_from([3, 5, 6, 9, 12, 29]), st.integers(0, 2)),
    level=st.integers(0, 2),
)
def test_predicted_stages_are_the_kernels(ring, steps, more, level):
    held = dict.fromkeys(steps, level) | more
    evaluator = _ckks.Evaluator(ring.parameters, ring.secret.evaluation_keys(held, None))
    x = np.zeros(ring.parameters.slots)
    evaluator.rotate_sum(ring.secret.encrypt(_ckks.encode(ring.parameters, x, ring.scale, level)), steps)
    stages, products = sum_stages(tuple(steps), held, ring.parameters.slots, level)
    assert evaluator.counters["keyswitch_modup"] == stages
    assert products == len(steps) + (len(steps) - stages)  # a merged stage has one product more than steps


@pytest.mark.parametrize(
    ("steps", "sums"), [((1, 2, 4, 8), {3, 12}), ((1, 2, 4), {3}), ((4,), set()), ((1, 31), set())]
)
def test_pairs_ask_for_the_sums_of_neighbours(steps, sums):
    builder = Builder(ElasticChain(32, 2.0**30), NoiseModel(64))
    builder.begin_layer("sum")
    register = builder.input()
    builder.rotate_sum(register, steps, pairs=True)
    assert set(builder.rotations) == set(steps) | sums
    assert len(set(builder.rotations.values())) == 1


def test_a_pool_is_one_sum():
    """Rows and columns of a 2x2 pool fold in one instruction of one stage."""
    program, chain = multiplexed(four_layer_cnn((0.0, 0.0, 1.0), channels=8), 8192)
    by_layer: dict[str, list[RotateSum]] = {}
    held = program.program.rotations
    for instruction, layer in zip(program.program.instructions, program.program.layer_of, strict=True):
        if isinstance(instruction, RotateSum):
            by_layer.setdefault(program.program.layers[layer], []).append(instruction)
    pools = {name: sums for name, sums in by_layer.items() if name.startswith("pool")}
    assert pools
    for sums in by_layer.values():
        for instruction in sums:
            level = program.program.registers[instruction.source].level
            stages, _ = sum_stages(instruction.steps, held, chain.slots, level)
            assert stages == (len(instruction.steps) + 1) // 2
    assert any(len(instruction.steps) > 1 for sums in pools.values() for instruction in sums)
