"""The conjugate-invariant ring against exact arithmetic in the ring of twice its dimension that contains it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri import _ckks, _ckks_secret
from kakuri.errors import KakuriError

from . import exact
from .conftest import Ring, make_ring

KIND = "conjugate_invariant"
N = 16
seeds = st.integers(0, 2**31)
few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def ring() -> Ring:
    return make_ring(4, [45, 40, 40, 40, 48, 48], 2, 2, 2.0**40, insecure=True, kind=KIND)


@pytest.fixture(scope="module")
def secure() -> Ring:
    return make_ring(13, [45, 40, 40, 40, 45], 1, 4, 2.0**40, insecure=False, kind=KIND)


def expand(a: list[int]) -> list[int]:
    """a_0 + sum a_i (X^i + X^-i) as a polynomial modulo X^2N + 1, where X^-i = -X^(2N - i)."""
    n = len(a)
    return [*a, 0, *(-a[n - i] for i in range(1, n))]


def multiply(a: list[int], b: list[int], total: int) -> list[int]:
    product = exact.multiply(expand(a), expand(b), total)
    folded = product[: len(a)]
    assert product == [c % total for c in expand(folded)]  # the subring is closed
    return folded


def polynomials(c: _ckks.Ciphertext) -> list[list[int]]:
    return [exact.coefficients(c.parameters, limbs) for limbs in c.residues()]


def random_ciphertext(ring: Ring, seed: int, level: int, size: int = 2) -> _ckks.Ciphertext:
    rng = np.random.default_rng(seed)
    limbs = [rng.integers(0, q, (size, N), dtype=np.uint64) for q in ring.parameters.moduli[: level + 1]]
    return _ckks.Ciphertext.from_residues(ring.parameters, np.stack(limbs, 1), ring.scale)


def under_secret(ring: Ring, c: _ckks.Ciphertext) -> list[int]:
    total = exact.modulus_at(ring.parameters, c.level)
    s = exact.secret_coefficients(ring.secret.to_bytes(), N)
    message = [0] * N
    for polynomial in reversed(polynomials(c)):
        message = [(x + y) % total for x, y in zip(multiply(message, s, total), polynomial, strict=True)]
    return message


@pytest.mark.parametrize("log_n", [4, 5, 6, 7, 8])
def test_transform_evaluates_the_symmetric_element(log_n: int) -> None:
    n = 2**log_n
    q = _ckks.ntt_primes(log_n, [16], KIND)[0]
    assert q % (4 * n) == 1
    parameters = _ckks.Parameters(log_n, [q], [], 1, ring=KIND, allow_insecure=True)
    root = next(r for r in range(2, q) if pow(r, 2 * n, q) == q - 1)
    values = np.random.default_rng(log_n).integers(0, q, n, dtype=np.uint64)
    reverse = [int(format(j, f"0{log_n}b")[::-1], 2) for j in range(n)]

    def at(x: int) -> int:
        return (int(values[0]) + sum(int(values[i]) * (pow(x, i, q) + pow(x, -i, q)) for i in range(1, n))) % q

    transformed = _ckks.transform(parameters, 0, values)
    assert transformed.tolist() == [at(pow(root, 4 * r + 1, q)) for r in reverse]
    assert np.array_equal(_ckks.transform(parameters, 0, transformed, inverse=True), values)


@few
@given(values=st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=N))
def test_encoding_is_the_real_embedding(ring: Ring, values: list[float]) -> None:
    """Slot j is the element at exp(2 pi i 5^j / 4N), a real number: a_0 + 2 sum a_i cos(2 pi i 5^j / 4N)."""
    plain = _ckks.encode(ring.parameters, np.array(values), ring.scale, 2)
    total = exact.modulus_at(ring.parameters, 2)
    a = np.array(exact.centred(exact.coefficients(ring.parameters, plain.residues()), total)) / ring.scale
    angles = np.outer([pow(5, j, 4 * N) for j in range(N)], np.arange(N)) * (2 * np.pi / (4 * N))
    slots = np.cos(angles) * np.where(np.arange(N) == 0, 1, 2) @ a
    padded = np.zeros(N)
    padded[: len(values)] = values
    np.testing.assert_allclose(slots, padded, atol=2 * N / ring.scale + 1e-11)
    np.testing.assert_allclose(_ckks.decode(plain), padded, atol=2 * N / ring.scale + 1e-11)


@few
@given(seed=seeds, level=st.integers(2, 3))
def test_products_are_those_of_the_ring(ring: Ring, seed: int, level: int) -> None:
    a, b = random_ciphertext(ring, seed, level), random_ciphertext(ring, seed + 1, level)
    total = exact.modulus_at(ring.parameters, level)
    (a0, a1), (b0, b1) = polynomials(a), polynomials(b)
    pairs = zip(multiply(a0, b1, total), multiply(a1, b0, total), strict=True)
    expected = [multiply(a0, b0, total), [(x + y) % total for x, y in pairs], multiply(a1, b1, total)]
    assert polynomials(ring.evaluator.multiply(a, b)) == expected


@few
@given(seed=seeds, level=st.integers(1, 3))
def test_rescale_rounds_to_nearest(ring: Ring, seed: int, level: int) -> None:
    a = random_ciphertext(ring, seed, level)
    q = ring.parameters.moduli[level]
    total, lower = exact.modulus_at(ring.parameters, level), exact.modulus_at(ring.parameters, level - 1)
    expected = [[(2 * c + q) // (2 * q) % lower for c in exact.centred(p, total)] for p in polynomials(a)]
    assert polynomials(ring.evaluator.rescale(a)) == expected


# Noise of at most 20 per coefficient times digits of at most two limbs over P, twice for both halves of an element:
# 2 digits * 2N * 20 * 2^86 / 2^96 and the rounding of the division.
SWITCHING_NOISE = 2 * 2 * N * 20 * 2.0**-10 + 2 * (1 + 2 * N)


@few
@given(seed=seeds, level=st.integers(0, 3), step=st.sampled_from([1, 2, 3, -1]))
def test_rotation_applies_the_automorphism_under_the_secret(ring: Ring, seed: int, level: int, step: int) -> None:
    a = random_ciphertext(ring, seed, level)
    total = exact.modulus_at(ring.parameters, level)
    moved = exact.automorphism(expand(under_secret(ring, a)), pow(5, step % N, 4 * N), total)[:N]
    for result in (ring.evaluator.rotate(a, step), ring.evaluator.rotate_hoisted(a, [step])[0]):
        pairs = zip(under_secret(ring, result), moved, strict=True)
        assert max(abs(x) for x in exact.centred([(x - y) % total for x, y in pairs], total)) <= SWITCHING_NOISE


@few
@given(seed=seeds, level=st.integers(0, 3))
def test_relinearisation_keeps_the_message(ring: Ring, seed: int, level: int) -> None:
    a = random_ciphertext(ring, seed, level, 3)
    total = exact.modulus_at(ring.parameters, level)
    pairs = zip(under_secret(ring, ring.evaluator.relinearize(a)), under_secret(ring, a), strict=True)
    assert max(abs(x) for x in exact.centred([(x - y) % total for x, y in pairs], total)) <= SWITCHING_NOISE


@few
@given(seed=seeds, step=st.sampled_from([1, 2, 3, -1]), public=st.booleans())
def test_cleartext_agreement_at_128_bits(secure: Ring, seed: int, step: int, public: bool) -> None:
    """All N slots carry a value; noise of a slot is about twice that of the standard ring."""
    p, e = secure.parameters, secure.evaluator
    assert (p.ring, p.slots, p.security_bits) == (KIND, p.n, 128)
    x, y = np.random.default_rng(seed).uniform(-1, 1, (2, p.slots))
    plain = _ckks.encode(p, x, secure.scale, 3)
    a = _ckks.encrypt(secure.secret.public_key(), plain) if public else secure.secret.encrypt(plain)
    b = secure.secret.encrypt(_ckks.encode(p, y, secure.scale, 3))
    cases = {
        "itself": (a, x),
        "add": (e.add(a, b), x + y),
        "multiply": (e.rescale(e.relinearize(e.multiply(a, b))), x * y),
        "square, fused": (e.relinearize(e.square(a), 1), x * x),
        "rotate": (e.rotate(a, step), np.roll(x, -step)),
        "multiply_plain": (e.rescale(e.multiply_plain(b, plain)), x * y),
    }
    for name, (ciphertext, expected) in cases.items():
        decrypted = secure.secret.decrypt(ciphertext, precision_bits=30)
        np.testing.assert_allclose(decrypted, expected, atol=2.0**-18, err_msg=name)


def test_bytes_name_the_ring(ring: Ring) -> None:
    p = ring.parameters
    assert p.to_bytes()[6:8] == b"\x01\x00"
    again = _ckks.Parameters.from_bytes(p.to_bytes(), allow_insecure=True)
    assert (again, again.ring) == (p, KIND)
    twin = _ckks.Parameters(p.log_n, p.moduli, p.special_moduli, p.digits, allow_insecure=True)
    assert twin.digest != p.digest  # the same primes also suit the standard ring
    item = ring.secret.encrypt(_ckks.encode(p, np.ones(N), 2.0**40, 3))
    assert _ckks.Ciphertext.from_bytes(again, item.to_bytes()).to_bytes() == item.to_bytes()
    for parse, data in (
        (_ckks.Ciphertext.from_bytes, item.to_bytes()),
        (_ckks.EvaluationKeys.from_bytes, ring.keys.to_bytes()),
        (_ckks_secret.SecretKey.from_bytes, ring.secret.to_bytes()),
    ):
        parse(again, data)
        with pytest.raises(KakuriError) as refused:
            parse(twin, data)
        assert refused.value.code == "KK-F44"


def test_refusals() -> None:
    only_standard = next(q for q in _ckks.ntt_primes(10, [26] * 8) if q % 4096 != 1)
    with pytest.raises(KakuriError, match="1 mod 4N"):
        _ckks.Parameters(10, [only_standard], [], 1, ring=KIND)
    for call in (lambda: _ckks.ntt_primes(10, [26], "complex"), lambda: _ckks.Parameters(10, [], [], 1, ring="")):
        with pytest.raises(KakuriError) as refused:
            call()
        assert refused.value.code == "KK-N17"
    assert _ckks.max_log_qp(13) < 215  # looked up at N, never at 2N
    primes = _ckks.ntt_primes(13, [49] * 5, KIND)
    with pytest.raises(KakuriError, match="128-bit"):
        _ckks.Parameters(13, primes, [], 1, ring=KIND)
