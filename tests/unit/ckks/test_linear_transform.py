"""Linear transforms: the same result as their definition on slots; files; refusals; counters."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kakuri import _ckks
from kakuri.errors import KakuriError

from .conftest import Ring, make_ring

Entry = tuple[int, int, int, int, NDArray[np.float64]]
SLOTS = 16
TOLERANCE = 2.0**-20


@pytest.fixture(scope="module", params=["standard", "conjugate_invariant"])
def ring(request: pytest.FixtureRequest) -> Ring:
    """16 slots in either ring, four limbs in two digits, two special primes, a key for every rotation."""
    log_n = 5 if request.param == "standard" else 4
    base = make_ring(log_n, [45, 40, 40, 40, 48, 48], 2, 2, 2.0**30, insecure=True, kind=request.param)
    keys = base.secret.evaluation_keys(dict.fromkeys(range(1, SLOTS), 3), 3)
    return Ring(base.parameters, base.secret, keys, _ckks.Evaluator(base.parameters, keys), base.scale)


def encrypt(ring: Ring, values: NDArray[np.float64], level: int = 3, scale: float = 2.0**30) -> _ckks.Ciphertext:
    return ring.secret.encrypt(_ckks.encode(ring.parameters, values, scale, level))


def decrypt(ring: Ring, ciphertext: _ckks.Ciphertext) -> NDArray[np.float64]:
    return ring.secret.decrypt(ciphertext, precision_bits=40)


def expected(entries: list[Entry], x: list[NDArray[np.float64]], outputs: int) -> NDArray[np.float64]:
    """The definition: out[o] = sum over entries of rotate_g(d * rotate_b(x[i]))."""
    out = np.zeros((outputs, len(x[0])))
    for o, g, i, b, d in entries:
        padded = np.zeros(len(x[i]))
        padded[: len(d)] = d
        out[o] += np.roll(padded * np.roll(x[i], -b), -g)
    return out


@st.composite
def transforms(draw: st.DrawFn) -> tuple[list[Entry], int, int]:
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    step = st.integers(-SLOTS, SLOTS - 1)
    key = st.tuples(st.integers(0, outputs - 1), step, st.integers(0, inputs - 1), step)
    keys = draw(st.lists(key, min_size=1, max_size=12, unique_by=lambda k: (k[0], k[1] % SLOTS, k[2], k[3] % SLOTS)))
    reached = {k[0] for k in keys}
    taken = [*keys, *((o, 0, 0, 0) for o in range(outputs) if o not in reached)]
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return [(*k, rng.uniform(-1, 1, draw(st.integers(1, SLOTS)))) for k in taken], inputs, outputs


@settings(max_examples=60, deadline=None)
@given(transforms(), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2**31))
def test_agrees_with_the_definition(
    ring: Ring, made: tuple[list[Entry], int, int], above: int, rescale: int, seed: int
) -> None:
    """Ciphertexts at and below the diagonals' level, every fused rescale."""
    entries, inputs, outputs = made
    level = 3 - above
    diagonals = _ckks.encode_diagonals(ring.parameters, 3, 2.0**40, entries, inputs=inputs, outputs=outputs)
    rng = np.random.default_rng(seed)
    x = [rng.uniform(-1, 1, SLOTS) for _ in range(inputs)]
    rescale = min(rescale, level)
    if rescale == level:  # the result must still fit what is left
        rescale -= 1
    out = ring.evaluator.linear_transform([encrypt(ring, v, level) for v in x], diagonals, rescale)
    assert [c.level for c in out] == [level - rescale] * outputs
    if rescale > 1:  # 2^70 / 2^80 leaves no digits: the scale alone is checked
        assert out[0].scale == pytest.approx(2.0**-10, rel=1e-3)
        return
    for c, reference in zip(out, expected(entries, x, outputs), strict=True):
        np.testing.assert_allclose(decrypt(ring, c), reference, atol=TOLERANCE)


def entries_of(rng: np.random.Generator, keys: list[tuple[int, int, int, int]], slots: int = SLOTS) -> list[Entry]:
    return [(*k, rng.uniform(-1, 1, slots)) for k in keys]


def test_every_path_and_every_number_of_threads_give_the_same_words(ring: Ring) -> None:
    rng = np.random.default_rng(5)
    keys = [(o, g, i, b) for o in range(2) for g in (0, 4, 9) for i in range(2) for b in (0, 1, 2, 5)]
    entries = entries_of(rng, keys)
    items = [encrypt(ring, rng.uniform(-1, 1, SLOTS)) for _ in range(2)]
    before = _ckks.kernel_path()
    results = {}
    try:
        for path in (*_ckks.available_kernel_paths(), "ifma-emulated"):
            _ckks.set_kernel_path(path)
            diagonals = _ckks.encode_diagonals(ring.parameters, 3, 2.0**40, entries, inputs=2, outputs=2, threads=2)
            for threads in (1, 2, 3, 7):
                e = _ckks.Evaluator(ring.parameters, ring.keys, threads)
                out = e.linear_transform(items, diagonals, 1)
                results[path, threads] = np.stack([c.residues() for c in out])
    finally:
        _ckks.set_kernel_path(before)
    first = results.pop(("scalar", 1))
    for name, words in results.items():
        np.testing.assert_array_equal(words, first, err_msg=str(name))


@pytest.mark.parametrize("kind", ["standard", "conjugate_invariant"])
def test_in_a_secure_ring_with_many_terms(kind: str) -> None:
    """128-bit parameters and real noise; more than eight terms per sum."""
    secure = make_ring(13, [45, 40, 40, 40, 45], 1, 4, 2.0**40, insecure=False, kind=kind)
    slots = secure.parameters.slots
    rng = np.random.default_rng(1)
    keys = secure.secret.evaluation_keys(dict.fromkeys([1, 2, 3, 64, 128], 3), 3)
    evaluator = _ckks.Evaluator(secure.parameters, keys, 2)
    entries = entries_of(rng, [(0, g, i, b) for g in (0, 64, 128) for i in range(3) for b in range(4)], slots)
    diagonals = _ckks.encode_diagonals(secure.parameters, 3, 2.0**40, entries, inputs=3, outputs=1, threads=2)
    x = [rng.uniform(-1, 1, slots) for _ in range(3)]
    items = [secure.secret.encrypt(_ckks.encode(secure.parameters, v, 2.0**40, 3)) for v in x]
    (out,) = evaluator.linear_transform(items, diagonals, rescale=1)
    reference = expected(entries, x, 1)[0]
    np.testing.assert_allclose(secure.secret.decrypt(out, precision_bits=30), reference, atol=36 * TOLERANCE)


def test_counters_count_what_ran(ring: Ring) -> None:
    rng = np.random.default_rng(2)
    keys = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 4, 0, 1), (0, 4, 1, 0), (1, 8, 0, 2)]
    diagonals = _ckks.encode_diagonals(ring.parameters, 3, 2.0**30, entries_of(rng, keys), inputs=2, outputs=2)
    assert (len(diagonals), diagonals.steps) == (5, {1, 2, 4, 8})
    assert diagonals.nbytes == 5 * (SLOTS * 8) * 6
    items = [encrypt(ring, rng.uniform(-1, 1, SLOTS)) for _ in range(2)]
    ring.evaluator.reset_counters()
    ring.evaluator.linear_transform(items, diagonals, rescale=1)
    counted = {k: v for k, v in ring.evaluator.counters.items() if v}
    assert counted == {
        "hmulplain": 5, "hadd": 3, "rotation": 4, "rescale": 2, "keyswitch_modup": 3, "keyswitch_moddown": 4,
    }  # fmt: skip


def test_relinearize_divides_on_the_way(ring: Ring) -> None:
    x = np.random.default_rng(3).uniform(-1, 1, SLOTS)
    product = ring.evaluator.square(encrypt(ring, x, scale=2.0**40))
    apart = ring.evaluator.rescale(ring.evaluator.relinearize(product))
    fused = ring.evaluator.relinearize(product, rescale=1)
    assert (fused.level, fused.scale) == (apart.level, apart.scale)
    np.testing.assert_allclose(decrypt(ring, fused), x * x, atol=TOLERANCE)
    difference = ring.evaluator.sub(fused, apart).residues().astype(np.int64)
    q = np.array(ring.parameters.moduli[: fused.level + 1], np.int64)[None, :, None]
    centred = np.where(difference > q // 2, difference - q, difference)
    for p in range(2):  # one rounding in place of two: a few units in the coefficients
        low = _ckks.transform(ring.parameters, 0, (centred[p, 0] % q[0, 0, 0]).astype(np.uint64), inverse=True)
        signed = np.where(low > q[0, 0, 0] // 2, low.astype(np.int64) - q[0, 0, 0], low.astype(np.int64))
        assert np.abs(signed).max() <= 3


def test_a_saved_file_computes_the_same(ring: Ring, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    entries = entries_of(rng, [(0, 0, 0, 0), (0, 4, 0, 3)])
    diagonals = _ckks.encode_diagonals(ring.parameters, 2, 2.0**40, entries, inputs=1, outputs=1)
    path = tmp_path / "layer.kkdg"
    diagonals.save(str(path))
    opened = _ckks.Diagonals.open(ring.parameters, str(path))
    assert (opened.level, opened.scale, len(opened), opened.steps) == (2, 2.0**40, 2, {3, 4})
    item = encrypt(ring, rng.uniform(-1, 1, SLOTS), 2)
    results = [ring.evaluator.linear_transform([item], d)[0].residues() for d in (diagonals, opened)]
    np.testing.assert_array_equal(*results)
    again = tmp_path / "again.kkdg"
    opened.save(str(again))
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_laid_out_as_documented(ring: Ring, tmp_path: Path) -> None:
    """Read back without the kernel: header, terms, residues, hash. N = 32 has two chunks of half a transform; of N = 16
    the one chunk holds all, its second half reversed."""
    values = np.random.default_rng(6).uniform(-1, 1, SLOTS)
    path = tmp_path / "layer.kkdg"
    _ckks.encode_diagonals(ring.parameters, 1, 2.0**20, [(0, -1, 0, 2, values)], inputs=1, outputs=1).save(str(path))
    data = path.read_bytes()
    magic, version, flags, digest, level, inputs, outputs, terms, scale, payload = struct.unpack_from(
        "<4sHH32s4IdQ", data
    )
    assert (magic, version, flags, digest) == (b"KKDG", 1, 0, ring.parameters.digest)
    assert (level, inputs, outputs, terms, scale) == (1, 1, 1, 1, 2.0**20)
    assert struct.unpack_from("<4I", data, 72) == (0, 15, 0, 2)
    assert payload == len(data) - 4096 - 32 == 4 * SLOTS * 8
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    words = np.frombuffer(data, np.uint64, 4 * SLOTS, 4096).reshape(4, SLOTS)
    plain = _ckks.encode(ring.parameters, values, 2.0**20, 1).residues()
    if ring.parameters.ring == "standard":
        np.testing.assert_array_equal(words[:2], plain[:, :SLOTS])
        np.testing.assert_array_equal(plain, plain[:, ::-1])
    else:
        np.testing.assert_array_equal(words[:2], np.concatenate([plain[:, :8], plain[:, :7:-1]], 1))


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(KakuriError) as caught:
        call()
    return caught.value.code


def test_refusals(ring: Ring, tmp_path: Path) -> None:
    p, e = ring.parameters, ring.evaluator
    one = np.ones(SLOTS)

    def encode(
        entries: list[Entry], level: int = 3, scale: float = 2.0**30, inputs: int = 1, outputs: int = 1
    ) -> object:
        return _ckks.encode_diagonals(p, level, scale, entries, inputs=inputs, outputs=outputs)

    identity = _ckks.encode_diagonals(p, 3, 2.0**30, [(0, 0, 0, 0, one)], inputs=1, outputs=1)
    low = _ckks.encode_diagonals(p, 1, 2.0**30, [(0, 0, 0, 0, one)], inputs=1, outputs=1)
    shift = _ckks.encode_diagonals(p, 3, 2.0**30, [(0, 2, 0, 1, one)], inputs=1, outputs=1)
    large = _ckks.encode_diagonals(p, 3, 2.0**160, [(0, 0, 0, 0, one / 2**9)], inputs=1, outputs=1)
    a = encrypt(ring, one)
    bare = _ckks.Evaluator(p, None)
    few = _ckks.Evaluator(p, ring.secret.evaluation_keys({1: 3, 2: 1}))
    cases: list[tuple[str, Callable[[], object]]] = [
        ("KK-N05", lambda: encode([(0, 0, 0, 0, one)], level=4)),
        ("KK-N05", lambda: e.linear_transform([a], low)),
        ("KK-N05", lambda: e.linear_transform([a], identity, 3)),
        ("KK-N05", lambda: e.linear_transform([a], identity, -1)),
        ("KK-N05", lambda: e.relinearize(e.square(a), 3)),
        ("KK-N07", lambda: encode([(0, 0, 0, 0, one)], scale=float("inf"))),
        ("KK-N07", lambda: encode([(0, 0, 0, 0, one * np.nan)])),
        ("KK-N07", lambda: e.linear_transform([a], large)),
        ("KK-N08", lambda: e.linear_transform([e.square(a)], identity)),
        ("KK-N09", lambda: bare.linear_transform([a], shift)),
        ("KK-N09", lambda: few.linear_transform([a], shift)),
        ("KK-N10", lambda: e.linear_transform([a], other_ring_diagonals())),
        ("KK-N11", lambda: encode([])),
        ("KK-N11", lambda: encode([(1, 0, 0, 0, one)])),
        ("KK-N11", lambda: encode([(0, 0, -1, 0, one)])),
        ("KK-N11", lambda: encode([(0, 0, 0, 0, one)], outputs=0)),
        ("KK-N11", lambda: encode([(0, 1, 0, -1, one), (0, 1, 0, 15, one)])),
        ("KK-N11", lambda: encode([(0, 0, 0, 0, np.ones(SLOTS + 1))])),
        ("KK-N11", lambda: e.linear_transform([a, a], identity)),
        ("KK-N11", lambda: e.linear_transform([], identity)),
        ("KK-N12", lambda: encode([(0, 0, 0, 0, one * 0)])),
        ("KK-N12", lambda: encode([(0, 0, 0, 0, one)], outputs=2)),
        ("KK-F48", lambda: _ckks.Diagonals.open(p, str(tmp_path / "nothing"))),
        ("KK-F48", lambda: _ckks.Diagonals.open(p, str(tmp_path))),
        ("KK-F48", lambda: identity.save(str(tmp_path / "no folder" / "file"))),
    ]
    for code, call in cases:
        assert code_of(call) == code
    bare.linear_transform([a], identity)  # no rotation, no key


def other_ring_diagonals() -> _ckks.Diagonals:
    other = make_ring(4, [30, 25, 31], 1, 1, 2.0**20, insecure=True)
    return _ckks.encode_diagonals(other.parameters, 1, 2.0**20, [(0, 0, 0, 0, np.ones(2))], inputs=1, outputs=1)


def test_problems_are_reported_together(ring: Ring) -> None:
    one = np.ones(SLOTS)
    with pytest.raises(KakuriError) as caught:
        _ckks.encode_diagonals(
            ring.parameters, 3, 2.0**30, [(5, 0, 0, 0, one), (0, 0, 7, 0, one), (0, 0, 0, 0, one)], inputs=1, outputs=1
        )
    assert [p.where for p in caught.value.problems] == ["entries[0].output", "entries[1].input"]


def test_damaged_files_are_refused(ring: Ring, tmp_path: Path) -> None:
    """Every mutation is refused or, with its hash made right again, may open and then saves the same bytes."""
    path = tmp_path / "layer.kkdg"
    entries = entries_of(np.random.default_rng(7), [(0, 0, 0, 0), (0, 4, 0, 3), (1, 0, 0, 1)])
    _ckks.encode_diagonals(ring.parameters, 1, 2.0**20, entries, inputs=1, outputs=2).save(str(path))
    valid = path.read_bytes()
    draw = random.Random(8)
    seen = set()
    for i in range(600):
        data = bytearray(valid)
        match draw.randrange(4):
            case 0:
                del data[draw.randrange(len(data)) :]
            case 1:
                data += draw.randbytes(draw.randrange(1, 64))
            case 2:
                struct.pack_into("<I", data, draw.randrange(0, 120), draw.choice([0, 1, 2**31, 2**32 - 1, 64]))
            case _:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        if i % 2 and len(data) > 32:
            data[-32:] = hashlib.sha256(data[:-32]).digest()
        path.write_bytes(data)
        try:
            opened = _ckks.Diagonals.open(ring.parameters, str(path))
        except KakuriError as error:
            seen.add(error.code)
        else:
            opened.save(str(path))
            assert path.read_bytes() == bytes(data)
    assert seen == {"KK-F41", "KK-F42", "KK-F43", "KK-F44", "KK-F45", "KK-F46", "KK-F47", "KK-F49"}
