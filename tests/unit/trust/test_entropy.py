"""Two kinds of randomness that cannot be mistaken for each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mypy import api as mypy

from kakuri.errors import KakuriError
from kakuri.trust import RandomnessKindError, SeededRandomness, SystemEntropy, require_system_entropy

GOLDEN = [11964976814405122775, 4776305860361396846, 2935420135675929049]


@given(st.integers(0, 2**64 - 1), st.lists(st.text(max_size=5), max_size=3))
def test_a_stream_depends_on_seed_and_labels_only(seed: int, labels: list[str]) -> None:
    def stream() -> SeededRandomness:
        randomness = SeededRandomness(seed)
        for label in labels:
            randomness.generator().random(3)  # drawing elsewhere changes nothing
            randomness = randomness.child(label)
        return randomness

    assert np.array_equal(stream().generator().random(8), stream().generator().random(8))
    assert not np.array_equal(stream().generator().random(8), stream().child("x").generator().random(8))
    assert not np.array_equal(stream().generator().random(8), SeededRandomness(seed ^ 1).generator().random(8))


def test_labels_do_not_run_into_each_other() -> None:
    root = SeededRandomness(1)
    paths = [root.child("a").child("b"), root.child("a/b"), root.child("a~1b"), root.child("ab"), root.child("a~0b")]
    assert len({path.generator().random() for path in paths}) == len(paths)


def test_the_bit_stream_is_the_recorded_one() -> None:
    """A recorded seed must mean the same numbers in every release: these were drawn once and are fixed."""
    raw = SeededRandomness(7).child("split").generator().bit_generator.random_raw(3)
    assert [int(value) for value in raw] == GOLDEN


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.0, "1", None])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(KakuriError) as caught:
        SeededRandomness(seed)  # type: ignore[arg-type]
    assert caught.value.code == "KK-K28"


def test_system_entropy_draws_fresh_bytes() -> None:
    entropy = SystemEntropy()
    draws = {entropy.draw(16) for _ in range(100)}
    assert len(draws) == 100
    assert {len(draw) for draw in draws} == {16}
    for length in (0, -1, 2**30 + 1):
        with pytest.raises(KakuriError):
            entropy.draw(length)


@pytest.mark.parametrize("impostor", [SeededRandomness(1), np.random.default_rng(1), 7, None, SystemEntropy])
def test_seeded_randomness_is_a_type_error_at_run_time(impostor: object) -> None:
    with pytest.raises(TypeError) as caught:
        require_system_entropy(impostor)  # type: ignore[arg-type]
    assert isinstance(caught.value, RandomnessKindError)
    assert caught.value.code == "KK-K29"
    entropy = SystemEntropy()
    assert require_system_entropy(entropy) is entropy


def test_seeded_randomness_is_a_type_error_for_the_type_checker(tmp_path: Path) -> None:
    lines = (
        "from kakuri.trust.entropy import SeededRandomness, SystemEntropy, require_system_entropy",
        "def keygen(entropy: SystemEntropy) -> bytes: return require_system_entropy(entropy).draw(32)",
        "def experiment(randomness: SeededRandomness) -> float: return randomness.generator().random()",
        "keygen(SystemEntropy())",
        "experiment(SeededRandomness(1))",
        "keygen(SeededRandomness(1))",
        "experiment(SystemEntropy())",
        "require_system_entropy(SeededRandomness(1))",
    )
    source = tmp_path / "user.py"
    source.write_text("\n".join(lines))
    output, _, status = mypy.run(
        ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), str(source)]
    )
    assert status == 1
    errors = [line.split(":")[1] for line in output.splitlines() if "[arg-type]" in line]
    assert errors == ["6", "7", "8"], output
