"""Extraction attacks break what is planted, and find nothing where nothing is."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from kakuri.attacks.extraction import ATTACKS, Artefact, Truth
from kakuri.attacks.extraction.elf import imported, sections

STATIC = [name for name, attack in ATTACKS.items() if attack.static]
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")


@pytest.mark.parametrize("name", ATTACKS)
def test_the_planted_artefact_is_broken(name: str) -> None:
    attack = ATTACKS[name]
    artefact, _ = attack.planted(np.random.default_rng(0))
    if attack.why_not(artefact):
        pytest.skip(attack.why_not(artefact))
    assert attack.self_test(np.random.default_rng(1)) >= attack.must_reach


@pytest.mark.parametrize("name", STATIC)
def test_nothing_is_found_in_noise(name: str) -> None:
    attack = ATTACKS[name]
    random = np.random.default_rng(3)
    weights = (0.1 * random.standard_normal((200, 300))).astype(np.float32)
    truth = Truth(weights.reshape(-1).view("<u4"), {"w": weights}, {"w": weights}, ((200, 300),), ("layer_one",))
    noise = Artefact("noise", {"app": random.bytes(300_000), "empty": b""})
    if attack.why_not(noise):
        pytest.skip(attack.why_not(noise))
    assert attack.run(noise, truth, random).recall < 0.01


@pytest.mark.parametrize("data", [b"", b"\x7fELF\2", b"\x7fELF\2" + bytes(59), b"\x7fELF\2" + b"\xff" * 400])
def test_what_is_no_elf_file_has_no_parts(data: bytes) -> None:
    assert sections(data) == {}
    assert imported(data) == []


def test_a_real_program_lists_its_imports() -> None:
    path = shutil.which("cc")
    assert path is not None
    with open(path, "rb") as file:
        data = file.read()
    assert ".text" in sections(data)
    assert "malloc" in imported(data)
