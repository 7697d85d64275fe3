"""Against Microsoft SEAL: same primes, same secret. Each side works on what the other encrypted."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kakuri import _ckks, _ckks_secret

from . import seal_format

seal = pytest.importorskip("seal", reason="seal-python (the `dev` extra) is not installed")

LOG_N = 13
SCALE = 2.0**40
BITS = [45, 40, 40, 40, 45]  # the last one is special
TOLERANCE = 2.0**-20
# SEAL's digits lie in [0, q), not around 0. Their mean is a multiple of 1 + X + X^2 + ..., whose values at slots next
# to X = 1 are N / pi times larger than typical: a few slots carry that much more key-switching noise.
SEAL_SWITCHING_TOLERANCE = 2.0**-16


@dataclass(frozen=True)
class Pair:
    """One set of parameters and one secret on both sides."""

    parameters: _ckks.Parameters
    secret: _ckks_secret.SecretKey
    context: Any
    seal_secret: Any

    @property
    def n(self) -> int:
        return self.parameters.n

    def seal_template(self, level: int) -> bytes:
        """Bytes of any SEAL ciphertext at a level."""
        encryptor = seal.Encryptor(self.context, seal.KeyGenerator(self.context, self.seal_secret).create_public_key())
        encoder, evaluator = seal.CKKSEncoder(self.context), seal.Evaluator(self.context)
        c = encryptor.encrypt(encoder.encode(0.0, SCALE))
        for _ in range(self.parameters.max_level - level):
            evaluator.mod_switch_to_next_inplace(c)
        return seal_format.saved(c)

    def to_seal(self, c: _ckks.Ciphertext) -> Any:
        data = seal_format.ciphertext_bytes(self.seal_template(c.level), c.residues(), c.scale)
        return seal_format.loaded(seal.Ciphertext(), self.context, data)

    def from_seal(self, c: Any) -> _ckks.Ciphertext:
        limbs, scale = seal_format.read_ciphertext(seal_format.saved(c))
        return _ckks.Ciphertext.from_residues(self.parameters, limbs, scale)

    def seal_decrypt(self, c: Any) -> np.ndarray:
        plain = seal.Decryptor(self.context, self.seal_secret).decrypt(c)
        return np.array(seal.CKKSEncoder(self.context).decode(plain))

    def decrypt(self, c: _ckks.Ciphertext) -> np.ndarray:
        return self.secret.decrypt(c, precision_bits=35)

    def in_seal_order(self, values: np.ndarray) -> np.ndarray:
        return values[seal_format.slot_order(self.n)]

    def from_seal_order(self, values: np.ndarray) -> np.ndarray:
        out = np.empty_like(values)
        out[seal_format.slot_order(self.n)] = values
        return out


def seal_context(primes: list[int]) -> Any:
    settings = seal.EncryptionParameters(seal.scheme_type.ckks)
    settings.set_poly_modulus_degree(2**LOG_N)
    settings.set_coeff_modulus([seal.Modulus(p) for p in primes])
    context = seal.SEALContext(settings, True, seal.sec_level_type.tc128)
    assert context.parameters_set()
    return context


def ternary_key_bytes(parameters: _ckks.Parameters, coefficients: np.ndarray) -> bytes:
    codes = np.where(coefficients < 0, 2, coefficients).astype(np.uint8).reshape(-1, 4)
    packed = codes[:, 0] | codes[:, 1] << 2 | codes[:, 2] << 4 | codes[:, 3] << 6
    head = struct.pack("<4sHH32sQ", b"KKSK", 1, 0, parameters.digest, packed.size)
    return head + packed.tobytes()


def pair_from_seal() -> Pair:
    """SEAL makes the secret."""
    primes = _ckks.ntt_primes(LOG_N, BITS)
    parameters = _ckks.Parameters(LOG_N, primes[:-1], primes[-1:], len(primes) - 1)
    context = seal_context(primes)
    seal_secret = seal.KeyGenerator(context).secret_key()
    ntt = seal_format.read_secret(seal_format.saved(seal_secret), len(primes), parameters.n)
    rows = [_ckks.transform(parameters, i, row, inverse=True).astype(np.int64) for i, row in enumerate(ntt)]
    coefficients = np.where(rows[0] == primes[0] - 1, -1, rows[0])
    for q, row in zip(primes, rows, strict=True):  # the same ternary polynomial modulo every prime
        assert np.array_equal(np.where(row == q - 1, -1, row), coefficients)
    secret = _ckks_secret.SecretKey.from_bytes(parameters, ternary_key_bytes(parameters, coefficients))
    return Pair(parameters, secret, context, seal_secret)


def pair_from_kernel() -> Pair:
    """The kernel makes the secret."""
    from . import exact

    primes = _ckks.ntt_primes(LOG_N, BITS)
    parameters = _ckks.Parameters(LOG_N, primes[:-1], primes[-1:], len(primes) - 1)
    secret = _ckks_secret.SecretKey.generate(parameters)
    context = seal_context(primes)
    coefficients = np.array(exact.secret_coefficients(secret.to_bytes(), parameters.n))
    ntt = np.stack([_ckks.transform(parameters, i, (coefficients % q).astype(np.uint64)) for i, q in enumerate(primes)])
    like = seal_format.saved(seal.KeyGenerator(context).secret_key())
    seal_secret = seal_format.loaded(seal.SecretKey(), context, seal_format.secret_bytes(like, ntt))
    return Pair(parameters, secret, context, seal_secret)


@pytest.fixture(
    scope="module", params=[pair_from_seal, pair_from_kernel], ids=["secret of SEAL", "secret of the kernel"]
)
def pair(request: pytest.FixtureRequest) -> Pair:
    made: Pair = request.param()
    return made


@pytest.fixture
def x(pair: Pair) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, pair.parameters.slots)


def encrypt_with_seal(pair: Pair, values: np.ndarray) -> Any:
    keys = seal.KeyGenerator(pair.context, pair.seal_secret)
    plain = seal.CKKSEncoder(pair.context).encode(list(values), SCALE)
    return seal.Encryptor(pair.context, keys.create_public_key()).encrypt(plain)


def encrypt(pair: Pair, values: np.ndarray, level: int = 3) -> _ckks.Ciphertext:
    return pair.secret.encrypt(_ckks.encode(pair.parameters, values, SCALE, level))


def galois_keys(pair: Pair, steps: list[int]) -> Any:
    keys = seal.GaloisKeys()
    seal.KeyGenerator(pair.context, pair.seal_secret).create_galois_keys(steps, keys)
    return keys


def test_seal_decrypts_ours(pair: Pair, x: np.ndarray) -> None:
    for level in (0, 3):
        plain = _ckks.encode(pair.parameters, x, SCALE, level)
        for c in (pair.secret.encrypt(plain), _ckks.encrypt(pair.secret.public_key(), plain)):
            np.testing.assert_allclose(pair.seal_decrypt(pair.to_seal(c)), pair.in_seal_order(x), atol=TOLERANCE)


def test_we_decrypt_seals(pair: Pair, x: np.ndarray) -> None:
    c = pair.from_seal(encrypt_with_seal(pair, pair.in_seal_order(x)))
    assert (c.level, c.scale) == (3, SCALE)
    np.testing.assert_allclose(pair.decrypt(c), x, atol=TOLERANCE)


def test_our_operations_on_seals_ciphertext(pair: Pair, x: np.ndarray) -> None:
    c = pair.from_seal(encrypt_with_seal(pair, pair.in_seal_order(x)))
    e = _ckks.Evaluator(pair.parameters, pair.secret.evaluation_keys({5: 3}, 3))
    product = e.rescale(e.relinearize(e.square(c)))
    for result, expected in ((e.rotate(c, 5), np.roll(x, -5)), (product, x * x)):
        seen_by_seal = pair.from_seal_order(pair.seal_decrypt(pair.to_seal(result)))
        np.testing.assert_allclose(seen_by_seal, expected, atol=TOLERANCE)
        np.testing.assert_allclose(seen_by_seal, pair.decrypt(result), atol=2.0**-30)


def test_seals_operations_on_our_ciphertext(pair: Pair, x: np.ndarray) -> None:
    c = pair.to_seal(encrypt(pair, x))
    keys, evaluator = seal.KeyGenerator(pair.context, pair.seal_secret), seal.Evaluator(pair.context)
    rotated = evaluator.rotate_vector(c, 5, galois_keys(pair, [5]))
    product = evaluator.relinearize(evaluator.square(c), keys.create_relin_keys())
    product = evaluator.rescale_to_next(product)
    ordered = pair.in_seal_order(x)
    for result, expected in ((rotated, np.roll(ordered, -5)), (product, ordered * ordered)):
        seen_by_us = pair.in_seal_order(pair.decrypt(pair.from_seal(result)))
        np.testing.assert_allclose(seen_by_us, expected, atol=SEAL_SWITCHING_TOLERANCE)
        np.testing.assert_allclose(seen_by_us, pair.seal_decrypt(result), atol=2.0**-30)


def test_the_same_automorphism_gives_the_same_message(pair: Pair, x: np.ndarray) -> None:
    """X -> X^9 with SEAL's keys and with ours: equal within key-switching noise, and ours is no noisier."""
    ours = encrypt(pair, x)
    step = next(k for k in range(pair.parameters.slots) if pow(5, k, 2 * pair.n) == 9)  # 3^2: two of SEAL's steps
    keys, evaluator = galois_keys(pair, [2]), seal.Evaluator(pair.context)
    seals = pair.from_seal(evaluator.apply_galois(pair.to_seal(ours), 9, keys))
    mine = _ckks.Evaluator(pair.parameters, pair.secret.evaluation_keys({step: 3})).rotate(ours, step)
    expected = np.roll(x, -step)
    mine_error, seals_error = (np.abs(pair.decrypt(c) - expected) for c in (mine, seals))
    assert seals_error.max() < SEAL_SWITCHING_TOLERANCE
    assert mine_error.max() < TOLERANCE
    assert mine_error.std() < 1.2 * seals_error.std()


def test_tensor_add_and_rescale_agree_word_for_word(pair: Pair, x: np.ndarray) -> None:
    """No noise enters here: the residues themselves must be the same (rescale: up to SEAL's rounding, one unit)."""
    a, b = encrypt(pair, x), encrypt(pair, x[::-1].copy())
    e, evaluator = _ckks.Evaluator(pair.parameters), seal.Evaluator(pair.context)
    sa, sb = pair.to_seal(a), pair.to_seal(b)
    for ours, theirs in (
        (e.add(a, b), evaluator.add(sa, sb)),
        (e.sub(a, b), evaluator.sub(sa, sb)),
        (e.multiply(a, b), evaluator.multiply(sa, sb)),
        (e.square(a), evaluator.square(sa)),
        (e.rescale(e.multiply(a, b)), evaluator.rescale_to_next(evaluator.multiply(sa, sb))),
    ):
        converted = pair.from_seal(theirs)
        assert converted.level == ours.level
        assert np.array_equal(converted.residues(), ours.residues())
