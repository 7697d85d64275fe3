"""The tiny ring against exact integer polynomial arithmetic: transforms, products, automorphisms, key switching."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kakuri import _ckks

from . import exact
from .conftest import Ring, make_ring

seeds = st.integers(0, 2**32 - 1)


def random_ciphertext(ring: Ring, seed: int, level: int, size: int = 2) -> _ckks.Ciphertext:
    rng = np.random.default_rng(seed)
    parameters = ring.parameters
    limbs = np.stack(
        [rng.integers(0, q, (size, parameters.n), dtype=np.uint64) for q in parameters.moduli[: level + 1]], 1
    )
    return _ckks.Ciphertext.from_residues(parameters, limbs, ring.scale)


def polynomials(c: _ckks.Ciphertext) -> list[list[int]]:
    return [exact.coefficients(c.parameters, limbs) for limbs in c.residues()]


def under_secret(ring: Ring, c: _ckks.Ciphertext) -> list[int]:
    """c0 + c1 s (+ c2 s^2) with exact integers, centred."""
    total = exact.modulus_at(ring.parameters, c.level)
    s = exact.secret_coefficients(ring.secret.to_bytes(), ring.parameters.n)
    message = [0] * ring.parameters.n
    for polynomial in reversed(polynomials(c)):
        message = [x + y for x, y in zip(exact.multiply(message, s, total), polynomial, strict=True)]
    return exact.centred([x % total for x in message], total)


@pytest.mark.parametrize("log_n", [4, 5, 6, 7])
def test_transform_evaluates_at_odd_powers_of_the_smallest_root(log_n: int) -> None:
    n = 2**log_n
    q = _ckks.ntt_primes(log_n, [14])[0]
    parameters = _ckks.Parameters(log_n, [q], [], 1, allow_insecure=True)
    root = next(r for r in range(2, q) if pow(r, n, q) == q - 1)
    values = np.random.default_rng(log_n).integers(0, q, n, dtype=np.uint64)
    reverse = [int(format(j, f"0{log_n}b")[::-1], 2) for j in range(n)]
    expected = [sum(int(a) * pow(root, (2 * r + 1) * i, q) for i, a in enumerate(values)) % q for r in reverse]
    transformed = _ckks.transform(parameters, 0, values)
    assert transformed.tolist() == expected
    assert np.array_equal(_ckks.transform(parameters, 0, transformed, inverse=True), values)


@given(seed=seeds, level=st.integers(0, 3))
def test_add_subtract_negate(tiny: Ring, seed: int, level: int) -> None:
    a, b = random_ciphertext(tiny, seed, level), random_ciphertext(tiny, seed + 1, level, 3)
    total = exact.modulus_at(tiny.parameters, level)
    pa, pb = [*polynomials(a), [0] * tiny.parameters.n], polynomials(b)
    cases = [
        (tiny.evaluator.add(a, b), lambda x, y: x + y, 3),
        (tiny.evaluator.sub(a, b), lambda x, y: x - y, 3),
        (tiny.evaluator.add_many([a, b, b, a, a]), lambda x, y: 3 * x + 2 * y, 3),
        (tiny.evaluator.negate(a), lambda x, y: -x, 2),
        (tiny.evaluator.sub(b, a), lambda x, y: y - x, 3),
    ]
    for result, function, size in cases:
        expected = [[function(x, y) % total for x, y in zip(p, q, strict=True)] for p, q in zip(pa, pb, strict=True)]
        assert polynomials(result) == expected[:size]


@given(seed=seeds, level=st.integers(2, 3))
def test_tensor_product(tiny: Ring, seed: int, level: int) -> None:
    a, b = random_ciphertext(tiny, seed, level), random_ciphertext(tiny, seed + 1, level)
    total = exact.modulus_at(tiny.parameters, level)
    (a0, a1), (b0, b1) = polynomials(a), polynomials(b)
    middle = [
        (x + y) % total for x, y in zip(exact.multiply(a0, b1, total), exact.multiply(a1, b0, total), strict=True)
    ]
    expected = [exact.multiply(a0, b0, total), middle, exact.multiply(a1, b1, total)]
    assert polynomials(tiny.evaluator.multiply(a, b)) == expected
    assert polynomials(tiny.evaluator.square(a)) == polynomials(
        tiny.evaluator.multiply(a, tiny.evaluator.drop_to_level(a, level))
    )


@given(seed=seeds, level=st.integers(2, 3), count=st.integers(1, 4))
def test_plain_products_and_their_sums(tiny: Ring, seed: int, level: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    items = [random_ciphertext(tiny, seed + i, level) for i in range(count)]
    plains = [_ckks.encode(tiny.parameters, rng.normal(size=16), 2.0**30, 3) for _ in range(count)]
    total = exact.modulus_at(tiny.parameters, level)
    integers = [exact.coefficients(tiny.parameters, p.residues()[: level + 1]) for p in plains]
    products = [[exact.multiply(c, p, total) for c in polynomials(x)] for x, p in zip(items, integers, strict=True)]
    assert polynomials(tiny.evaluator.multiply_plain(items[0], plains[0])) == products[0]
    expected = [[sum(column) % total for column in zip(*rows, strict=True)] for rows in zip(*products, strict=True)]
    assert polynomials(tiny.evaluator.dot_plain(items, plains)) == expected


@given(seed=seeds, inputs=st.integers(1, 5), outputs=st.integers(1, 5), bits=st.sampled_from([4, 20, 31, 33, 48]))
def test_linear_combination_is_exact(tiny: Ring, seed: int, inputs: int, outputs: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    level, weight_scale = 3, 2.0 ** (bits - 2)
    items = [random_ciphertext(tiny, seed + i, level) for i in range(inputs)]
    weights = rng.uniform(-4, 4, (outputs, inputs))
    weights[:, 0] = 3.5
    weights[rng.random((outputs, inputs)) < 0.2] = 0.0
    weights[:, -1] = -3.75
    mask = _ckks.encode(tiny.parameters, rng.normal(size=16), 2.0**20, level)
    total = exact.modulus_at(tiny.parameters, level)
    integers = [[int(np.rint(w * weight_scale)) for w in row] for row in weights]
    sources = [polynomials(x) for x in items]
    expected = [
        [
            [sum(w * c for w, c in zip(row, column, strict=True)) % total for column in zip(*limb, strict=True)]
            for limb in zip(*sources, strict=True)
        ]
        for row in integers
    ]
    results = tiny.evaluator.linear_combination(items, weights, weight_scale)
    assert [polynomials(r) for r in results] == expected
    assert all(r.scale == tiny.scale * weight_scale for r in results)
    if inputs == 1:
        plain = exact.coefficients(tiny.parameters, mask.residues())
        masked = tiny.evaluator.linear_combination(items, weights, weight_scale, mask)
        assert polynomials(masked[0]) == [exact.multiply(c, plain, total) for c in expected[0]]
        assert masked[0].scale == tiny.scale * weight_scale * 2.0**20


@given(seed=seeds, value=st.floats(-100, 100), scale_bits=st.integers(10, 50))
def test_scalars(tiny: Ring, seed: int, value: float, scale_bits: int) -> None:
    a = random_ciphertext(tiny, seed, 3)
    total = exact.modulus_at(tiny.parameters, 3)
    p0, p1 = polynomials(a)
    shifted = tiny.evaluator.add_scalar(a, value)
    assert polynomials(shifted) == [[(p0[0] + round(value * tiny.scale)) % total, *p0[1:]], p1]
    factor = round(value * 2.0**scale_bits)
    if factor != 0:
        product = tiny.evaluator.multiply_scalar(a, value, 2.0**scale_bits)
        assert polynomials(product) == [[c * factor % total for c in p] for p in (p0, p1)]


@given(seed=seeds, level=st.integers(1, 3))
def test_rescale_rounds_to_nearest(tiny: Ring, seed: int, level: int) -> None:
    a = random_ciphertext(tiny, seed, level)
    q = tiny.parameters.moduli[level]
    total, lower = exact.modulus_at(tiny.parameters, level), exact.modulus_at(tiny.parameters, level - 1)
    result = tiny.evaluator.rescale(a)
    expected = [[(2 * c + q) // (2 * q) % lower for c in exact.centred(p, total)] for p in polynomials(a)]
    assert polynomials(result) == expected
    assert result.scale == tiny.scale / q
    dropped = tiny.evaluator.drop_to_level(a, level - 1)
    assert polynomials(dropped) == [[c % lower for c in p] for p in polynomials(a)]


def key_switch_noise_bound(ring: Ring) -> float:
    """Digits (centred, each limb at most half its prime, at most 2 limbs summed), times noise of at most 20 per
    coefficient over n products, over P, plus the rounding of both divisions: (1 + n) / 2 for a ternary secret."""
    parameters = ring.parameters
    alpha = -(-len(parameters.moduli) // parameters.digits)
    digit = max(
        np.prod([float(q) for q in parameters.moduli[i : i + alpha]]) * alpha / 2
        for i in range(0, len(parameters.moduli), alpha)
    )
    special = float(np.prod([float(p) for p in parameters.special_moduli]))
    rounding = (1 + parameters.n) * len(parameters.special_moduli) / 2
    return parameters.digits * parameters.n * 20 * digit / special + rounding


@given(seed=seeds, level=st.integers(0, 3), step=st.sampled_from([1, 2, 3, -1]))
def test_rotation_applies_the_automorphism_under_the_secret(tiny: Ring, seed: int, level: int, step: int) -> None:
    a = random_ciphertext(tiny, seed, level)
    total = exact.modulus_at(tiny.parameters, level)
    galois = pow(5, step % tiny.parameters.slots, 2 * tiny.parameters.n)
    expected = exact.automorphism(under_secret(tiny, a), galois, total)
    for result in (tiny.evaluator.rotate(a, step), tiny.evaluator.rotate_hoisted(a, [0, step])[1]):
        difference = exact.centred(
            [(x - y) % total for x, y in zip(under_secret(tiny, result), expected, strict=True)], total
        )
        assert max(map(abs, difference)) <= key_switch_noise_bound(tiny)


def test_hoisted_and_plain_rotations_are_the_same_ciphertexts(tiny: Ring) -> None:
    a = random_ciphertext(tiny, 1, 3)
    hoisted = tiny.evaluator.rotate_hoisted(a, [1, 2, 3, -1, 0, 1 - tiny.parameters.slots])
    for step, result in zip([1, 2, 3, -1, 0, 1], hoisted, strict=True):
        assert np.array_equal(result.residues(), tiny.evaluator.rotate(a, step).residues())


@given(seed=seeds, level=st.integers(0, 3))
def test_relinearisation_keeps_the_message(tiny: Ring, seed: int, level: int) -> None:
    a = random_ciphertext(tiny, seed, level, 3)
    total = exact.modulus_at(tiny.parameters, level)
    result = tiny.evaluator.relinearize(a)
    assert result.size == 2
    pairs = zip(under_secret(tiny, result), under_secret(tiny, a), strict=True)
    assert max(abs(x) for x in exact.centred([(x - y) % total for x, y in pairs], total)) <= key_switch_noise_bound(
        tiny
    )


LAYOUTS = [
    (limbs, digits, special)
    for limbs, digits, special in itertools.product([1, 2, 3, 5], [1, 2, 3, 5], [1, 2, 3])
    if digits <= limbs and -(-limbs // digits) * 21 <= 49 * special  # P is at least as large as a digit
]


@pytest.mark.parametrize(("limbs", "digits", "special"), LAYOUTS)
def test_every_digit_layout_switches_keys(limbs: int, digits: int, special: int) -> None:
    """All splits of up to five limbs into digits, at every level, with one to three special primes."""
    bits = [20] * limbs + [49] * special
    ring = make_ring(4, bits, special, digits, 2.0**15, insecure=True)
    for level in range(limbs):
        a = random_ciphertext(ring, level, level, 3)
        total = exact.modulus_at(ring.parameters, level)
        result = ring.evaluator.relinearize(a)
        pairs = zip(under_secret(ring, result), under_secret(ring, a), strict=True)
        noise = max(abs(x) for x in exact.centred([(x - y) % total for x, y in pairs], total))
        assert noise <= min(key_switch_noise_bound(ring), total / 4)


def test_ring_fixture_has_partial_last_digit_levels(tiny: Ring) -> None:
    """The fixture exercises digits of two limbs of which the last has one at even levels."""
    assert (len(tiny.parameters.moduli), tiny.parameters.digits) == (4, 2)
