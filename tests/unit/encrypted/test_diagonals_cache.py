"""Encoded diagonals kept between starts: found again, never trusted unchecked, private, bounded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kakuri import _ckks, encrypted, model
from kakuri.encrypted import DiagonalsCache, Server
from kakuri.encrypted.program import Diagonal, TransformSpec
from kakuri.errors import KakuriWarning
from tests.unit.encrypted.models import small_network

SLOTS = 32


@pytest.fixture(scope="module")
def parameters() -> _ckks.Parameters:
    primes = _ckks.ntt_primes(5, [40, 40, 41], "conjugate_invariant")
    return _ckks.Parameters(5, primes[:2], primes[2:], 1, ring="conjugate_invariant", allow_insecure=True)


def transform(seed: int = 0) -> TransformSpec:
    values = np.random.default_rng(seed).uniform(-1, 1, size=(3, SLOTS))
    return TransformSpec(1, 1, tuple(Diagonal(0, 0, 0, b, values[b]) for b in range(3)), 2.0**30, 1)


def encoder(parameters: _ckks.Parameters, spec: TransformSpec) -> Callable[[], _ckks.Diagonals]:
    entries = [(d.output, d.giant, d.input, d.baby, d.values) for d in spec.entries]
    return lambda: _ckks.encode_diagonals(parameters, spec.level, spec.scale, entries, inputs=1, outputs=1)


def start(parameters: _ckks.Parameters, folder: Path, *specs: TransformSpec, **limits: int) -> DiagonalsCache:
    """A start that asks for these transforms in turn."""
    cache = DiagonalsCache(folder, **limits)
    for spec in specs:
        cache.get(parameters, spec, encoder(parameters, spec))
    return cache


def counts(cache: DiagonalsCache) -> tuple[int, int]:
    return cache.opened, cache.encoded


def test_the_second_start_opens_the_same_words(parameters, tmp_path):
    spec, folder = transform(), tmp_path / "made"
    assert counts(start(parameters, folder, spec)) == (0, 1)
    again = DiagonalsCache(folder)
    found = again.get(parameters, spec, encoder(parameters, spec))
    assert counts(again) == (1, 0)
    for kept in (found, encoder(parameters, spec)()):
        kept.save(str(tmp_path / "words"))
        assert (tmp_path / "words").read_bytes() == next(folder.iterdir()).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: transform(seed=1),
        lambda s: replace(s, scale=2.0**29),
        lambda s: replace(s, level=0),
        lambda s: replace(s, entries=s.entries[:2]),
        lambda s: replace(s, entries=(*s.entries[:2], replace(s.entries[2], baby=5))),
    ],
)
def test_other_content_has_another_name(parameters, tmp_path, change):
    assert counts(start(parameters, tmp_path / "made", transform(), change(transform()))) == (0, 2)


def test_folder_and_files_are_for_their_owner(parameters, tmp_path):
    start(parameters, tmp_path / "made", transform())
    (file,) = (tmp_path / "made").iterdir()
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", [0, 40, 60, 4100, -1])
def test_a_damaged_file_is_made_again(parameters, tmp_path, at):
    spec = transform()
    start(parameters, tmp_path / "made", spec)
    (file,) = (tmp_path / "made").iterdir()
    good = file.read_bytes()
    bad = bytearray(good)
    bad[at] ^= 1
    for content in (bytes(bad), good[:-7], b""):
        file.write_bytes(content)
        assert counts(start(parameters, tmp_path / "made", spec)) == (0, 1)
        assert file.read_bytes() == good


def test_a_file_under_another_files_name_is_not_taken(parameters, tmp_path):
    """Its own hash is right, and its header is not what is wanted."""
    one, other = transform(), replace(transform(), level=0)
    start(parameters, tmp_path / "made", one)
    (of_one,) = (tmp_path / "made").iterdir()
    start(parameters, tmp_path / "made", other)
    (of_other,) = set((tmp_path / "made").iterdir()) - {of_one}
    of_other.write_bytes(of_one.read_bytes())
    assert counts(start(parameters, tmp_path / "made", other)) == (0, 1)


def test_what_others_may_change_is_not_used(parameters, tmp_path):
    spec, folder = transform(), tmp_path / "made"
    start(parameters, folder, spec)
    (file,) = folder.iterdir()
    file.chmod(0o620)
    assert counts(start(parameters, folder, spec)) == (0, 1)
    assert file.stat().st_mode & 0o777 == 0o600
    folder.chmod(0o770)
    with pytest.warns(KakuriWarning, match="0700"):
        assert counts(start(parameters, folder, spec)) == (0, 1)


def test_the_longest_unused_files_go_first(parameters, tmp_path):
    first, second, third = (transform(seed) for seed in range(3))
    size, folder = encoder(parameters, first)().nbytes, tmp_path / "made"
    start(parameters, folder, first)
    (of_first,) = folder.iterdir()
    start(parameters, folder, second)
    (of_second,) = set(folder.iterdir()) - {of_first}
    os.utime(of_first, (2, 2))
    os.utime(of_second, (1, 1))
    start(parameters, folder, third, limit_bytes=size + of_first.stat().st_size)
    assert of_first in set(folder.iterdir())
    assert of_second not in set(folder.iterdir())
    with pytest.warns(KakuriWarning, match="not kept"):
        assert counts(start(parameters, folder, second, limit_bytes=size - 1)) == (0, 1)


def test_a_loaded_package_answers_the_same_from_its_files(tmp_path):
    net, x = small_network(samples=1)
    plan = encrypted.plan(net, calibration=x)
    client, server = plan.build(threads=1)
    server.save(tmp_path / "net.kkr")
    query = client.encrypt(x[0])
    transforms = len(plan.compiled.program.transforms)
    answers = set()
    for expected in ((0, transforms), (transforms, 0)):
        cache = DiagonalsCache(tmp_path / "diagonals")
        loaded = Server.load(tmp_path / "net.kkr", threads=1, cache=cache)
        assert counts(cache) == expected
        answers.add(loaded.run(query).to_bytes())
    assert answers == {server.run(query).to_bytes()}
    got = client.decrypt(encrypted.Answer.from_bytes(answers.pop()))
    np.testing.assert_allclose(got, model.reference_outputs(plan.net, x.astype(np.float32)), atol=0.1)
