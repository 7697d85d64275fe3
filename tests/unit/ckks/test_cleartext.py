"""What a user sees: operations on ciphertexts are the same operations on the slots, within the noise, at 128 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri import _ckks

from .conftest import Ring

# Fresh noise is about 2^11 at N = 8192 under a public key; 2^-22 of the scale 2^40 leaves room for a few operations.
TOLERANCE = 2.0**-20


def slots(ring: Ring, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, ring.parameters.slots)


def encrypt(ring: Ring, values: np.ndarray, level: int | None = None, *, public: bool = False) -> _ckks.Ciphertext:
    plain = _ckks.encode(ring.parameters, values, ring.scale, ring.parameters.max_level if level is None else level)
    return _ckks.encrypt(ring.secret.public_key(), plain) if public else ring.secret.encrypt(plain)


def decrypt(ring: Ring, ciphertext: _ckks.Ciphertext) -> np.ndarray:
    return ring.secret.decrypt(ciphertext, precision_bits=30)


few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**31)


@few
@given(seed=seeds, level=st.integers(0, 3), public=st.booleans())
def test_encrypt_decrypt(secure: Ring, seed: int, level: int, public: bool) -> None:
    x = slots(secure, seed)
    c = encrypt(secure, x, level, public=public)
    assert (c.level, c.size, c.scale) == (level, 2, secure.scale)
    np.testing.assert_allclose(decrypt(secure, c), x, atol=TOLERANCE)


@few
@given(seed=seeds)
def test_arithmetic(secure: Ring, seed: int) -> None:
    x, y = slots(secure, seed), slots(secure, seed + 1)
    e = secure.evaluator
    a, b = encrypt(secure, x), encrypt(secure, y, public=True)
    plain = _ckks.encode(secure.parameters, y, secure.scale, 3)
    cases = {
        "add": (e.add(a, b), x + y),
        "sub": (e.sub(a, b), x - y),
        "negate": (e.negate(a), -x),
        "add_plain": (e.add_plain(a, plain), x + y),
        "add_scalar": (e.add_scalar(a, 0.75), x + 0.75),
        "multiply": (e.rescale(e.relinearize(e.multiply(a, b))), x * y),
        "size three": (e.multiply(a, b), x * y),
        "square": (e.rescale(e.relinearize(e.square(a))), x * x),
        "multiply_plain": (e.rescale(e.multiply_plain(a, plain)), x * y),
        "multiply_scalar": (e.rescale(e.multiply_scalar(a, -0.3, 2.0**40)), -0.3 * x),
        "dot_plain": (e.rescale(e.dot_plain([a, b], [plain, plain])), (x + y) * y),
        "linear": (e.linear_combination([a, b], np.array([[0.5, -2.0]]), 2.0**40)[0], 0.5 * x - 2 * y),
        "set_scale": (e.set_scale(a, secure.scale * 2), x / 2),
    }
    for name, (ciphertext, expected) in cases.items():
        np.testing.assert_allclose(decrypt(secure, ciphertext), expected, atol=TOLERANCE, err_msg=name)


@few
@given(seed=seeds, step=st.sampled_from([1, 2, 3, -1, 7]), level=st.integers(0, 2))
def test_rotations_move_slots_to_the_left(secure: Ring, seed: int, step: int, level: int) -> None:
    x = slots(secure, seed)
    a = encrypt(secure, x, level)
    np.testing.assert_allclose(decrypt(secure, secure.evaluator.rotate(a, step)), np.roll(x, -step), atol=TOLERANCE)
    chain = secure.evaluator.rotate_sum(a, [step, 1])
    once = x + np.roll(x, -step)
    np.testing.assert_allclose(decrypt(secure, chain), once + np.roll(once, -1), atol=TOLERANCE)


def test_depth_three_circuit(secure: Ring) -> None:
    x = slots(secure, 5)
    e, c = secure.evaluator, encrypt(secure, x)
    for _ in range(3):
        c = e.rescale(e.relinearize(e.square(c)))
        x = x * x
    assert c.level == 0
    np.testing.assert_allclose(decrypt(secure, c), x, atol=2.0**-18)


def test_results_are_multiples_of_the_stated_precision(secure: Ring) -> None:
    x = slots(secure, 6)
    values = secure.secret.decrypt(encrypt(secure, x), precision_bits=12)
    assert np.array_equal(values * 2**12, np.rint(values * 2**12))
    np.testing.assert_allclose(values, x, atol=2.0**-13 + TOLERANCE)


def test_flooding_adds_noise_of_the_stated_width(secure: Ring) -> None:
    """Coefficients get sigma = 2^30, so slots get sigma sqrt(n) / scale; sums of 4096 squares settle within 10 %."""
    c = encrypt(secure, np.zeros(8))
    noise = np.concatenate([secure.secret.decrypt(c, precision_bits=40, flooding_bits=30) for _ in range(4)])
    expected = 2.0**30 * np.sqrt(secure.parameters.n / 2) / secure.scale  # real part of a complex slot
    assert 0.9 < noise.std() / expected < 1.1
    assert abs(noise.mean()) < 5 * expected / np.sqrt(noise.size)


def test_fresh_noise_has_sigma_3_19(secure: Ring) -> None:
    """A symmetric encryption of zero decrypts to the noise alone."""
    zeros = _ckks.encode(secure.parameters, np.zeros(1), secure.scale, 0)
    noise = np.concatenate([secure.secret.decrypt(secure.secret.encrypt(zeros), precision_bits=60) for _ in range(4)])
    expected = 3.19 * np.sqrt(secure.parameters.n / 2) / secure.scale
    assert 0.95 < noise.std() / expected < 1.05


def test_every_encryption_and_key_is_fresh(secure: Ring) -> None:
    plain = _ckks.encode(secure.parameters, np.ones(1), secure.scale, 0)
    key = secure.secret.public_key()
    for make in (secure.secret.encrypt, lambda p: _ckks.encrypt(key, p)):
        assert make(plain).to_bytes() != make(plain).to_bytes()
    secrets = {type(secure.secret).generate(secure.parameters).to_bytes() for _ in range(3)}
    assert len(secrets) == 3


def test_secret_is_uniform_ternary(secure: Ring) -> None:
    from . import exact

    counts = np.bincount(
        np.array(exact.secret_coefficients(secure.secret.to_bytes(), secure.parameters.n)) + 1, minlength=3
    )
    third = secure.parameters.n / 3
    assert np.all(np.abs(counts - third) < 6 * np.sqrt(third * 2 / 3))


def test_another_key_decrypts_to_nothing_like_the_message(secure: Ring) -> None:
    x = slots(secure, 8)
    other = type(secure.secret).generate(secure.parameters)
    values = other.decrypt(encrypt(secure, x), precision_bits=30)
    assert np.abs(values).max() > 1e3


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_do_not_change_a_bit(secure: Ring, threads: int) -> None:
    many = _ckks.Evaluator(secure.parameters, secure.keys, threads)
    a, b = encrypt(secure, slots(secure, 1)), encrypt(secure, slots(secure, 2))
    weights = np.random.default_rng(0).normal(size=(3, 2))
    plain = _ckks.encode(secure.parameters, slots(secure, 3), secure.scale, 3)

    def everything(e: _ckks.Evaluator) -> list[_ckks.Ciphertext]:
        product = e.multiply(a, b)
        return [
            product,
            e.relinearize(product),
            e.rescale(product),
            e.rotate(a, 3),
            *e.rotate_hoisted(a, [1, 2, 0]),
            *e.linear_combination([a, b], weights, 2.0**30, plain),
            e.dot_plain([a, b], [plain, plain]),
            e.add_many([a, b, a]),
            e.add_plain(product, _ckks.encode(secure.parameters, slots(secure, 3), product.scale, 3)),
            e.add_scalar(a, 0.5),
        ]

    for one, other in zip(everything(secure.evaluator), everything(many), strict=True):
        assert np.array_equal(one.residues(), other.residues())


def test_calls_from_several_python_threads(secure: Ring) -> None:
    from concurrent.futures import ThreadPoolExecutor

    shared = _ckks.Evaluator(secure.parameters, secure.keys, 2)
    a = encrypt(secure, slots(secure, 9))
    steps = [1, 2, 3, -1] * 4
    expected = [secure.evaluator.rotate(a, s).to_bytes() for s in steps]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda s: shared.rotate(a, s).to_bytes(), steps)) == expected


def test_kernel_paths_agree_bit_for_bit(secure: Ring) -> None:
    a = encrypt(secure, slots(secure, 4))
    active = _ckks.kernel_path()
    results = {}
    try:
        for path in _ckks.available_kernel_paths():
            _ckks.set_kernel_path(path)
            e = secure.evaluator
            results[path] = e.rescale(e.relinearize(e.square(e.rotate(a, 2)))).to_bytes()
    finally:
        _ckks.set_kernel_path(active)
    assert "scalar" in results
    assert len(set(results.values())) == 1
