"""Attacks on blinded matrices: they break permutations, and are at chance where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kakuri.attacks import MATRIX_ATTACKS, Budget, Target, Verdict, messages, select
from kakuri.attacks.matrices import as_rows, matrix_from, orthogonal, rows_of, signed_permutation

NAMES = list(MATRIX_ATTACKS)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", NAMES)
def test_self_tests_pass_and_can_fail(name: str) -> None:
    attack = MATRIX_ATTACKS[name]
    assert attack.self_test(Budget(), random()).passed

    class OnNoise(type(attack)):  # type: ignore[misc]
        def planted(self, generator: np.random.Generator) -> Target:
            real = super().planted(generator)
            sizes = {
                view: [[len(part) for part in sample] for sample in samples] for view, samples in real.views.items()
            }
            noise = {
                view: messages(
                    [[generator.standard_normal(n // 4).astype("<f4").tobytes() for n in ns] for ns in sample]
                )
                for view, sample in sizes.items()
            }
            return replace(real, views=noise)

    assert not OnNoise().self_test(Budget(), random()).passed


def test_matching_finds_permuted_rows_and_not_rotated_ones() -> None:
    attack = MATRIX_ATTACKS["base_model_matching"]
    base = random(1).standard_normal((100, 48))
    shared = {"base": base.astype("<f4").tobytes()}
    order = random(2).permutation(100)
    for right, verdict in (
        (signed_permutation(48, random(3)), Verdict.LEAK),
        (orthogonal(48, random(3)), Verdict.AT_CHANCE),
    ):
        plain = {"weights": as_rows(base[order])}
        target = Target("t", {"weights": as_rows(base[order] @ right)}, {"base_row": order}, shared=shared, plain=plain)
        result = attack.run(target, Budget(), random())
        assert result.verdict is verdict, result
        assert result.unprotected.value == 1.0
    assert "no base" in attack.why_not(replace(target, shared={}))


def test_alignment_needs_the_base_model() -> None:
    attack = MATRIX_ATTACKS["gram_alignment"]
    planted = attack.planted(random(5))
    another = random(6).standard_normal((48, 48)).astype("<f4").tobytes()
    assert attack.run(planted, Budget(), random()).estimate.value > 0.95
    private = replace(planted, shared={"base": another}, plain=planted.views)
    assert attack.run(private, Budget(), random()).verdict is not Verdict.LEAK


def test_rows_and_matrices_of_any_bytes() -> None:
    matrix = random().standard_normal((5, 3)).astype("<f4")
    assert np.array_equal(rows_of(as_rows(matrix)), matrix)
    assert np.array_equal(matrix_from(matrix.tobytes() + b"xyz", 3), matrix)
    odd = messages([b"\xff" * 9, b"\x00" * 8])
    assert np.array_equal(rows_of(odd), np.zeros((2, 2)))
    assert rows_of(odd, 3).shape == (2, 0)
    assert [attack.name for attack in select(NAMES)] == NAMES
