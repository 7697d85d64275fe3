"""Byte formats: round trips, the documented layout read back by an independent reader, refusals, and mutated inputs."""

from __future__ import annotations

import contextlib
import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from hypothesis import given
from hypothesis import strategies as st

from kakuri import _ckks, _ckks_secret
from kakuri.errors import KakuriError

from .conftest import Ring, make_ring


@dataclass(frozen=True)
class Kind:
    """One serialised type: a valid example and its parser followed by its writer."""

    name: str
    data: bytes
    reread: Callable[[bytes], bytes]


def kinds_of(ring: Ring) -> list[Kind]:
    p, secret = ring.parameters, ring.secret
    plain = _ckks.encode(p, np.arange(4.0), ring.scale, p.max_level)
    seeded = secret.encrypt(plain)
    keys = secret.evaluation_keys({1: p.max_level, 3: 0}, 0)

    def reread(parse: Callable[[_ckks.Parameters, bytes], object]) -> Callable[[bytes], bytes]:
        return lambda data: parse(p, data).to_bytes()  # type: ignore[attr-defined,no-any-return]

    return [
        Kind("parameters", p.to_bytes(), lambda d: _ckks.Parameters.from_bytes(d, allow_insecure=True).to_bytes()),
        Kind("seeded ciphertext", seeded.to_bytes(), reread(_ckks.Ciphertext.from_bytes)),
        Kind("ciphertext", _ckks.encrypt(secret.public_key(), plain).to_bytes(), reread(_ckks.Ciphertext.from_bytes)),
        Kind("product", ring.evaluator.square(seeded).to_bytes(), reread(_ckks.Ciphertext.from_bytes)),
        Kind("public key", secret.public_key().to_bytes(), reread(_ckks.PublicKey.from_bytes)),
        Kind("evaluation keys", keys.to_bytes(), reread(_ckks.EvaluationKeys.from_bytes)),
        Kind("secret key", secret.to_bytes(), reread(_ckks_secret.SecretKey.from_bytes)),
    ]


@pytest.fixture(scope="module")
def small() -> Ring:
    return make_ring(4, [30, 25, 22, 31], 1, 2, 2.0**20, insecure=True)


@pytest.fixture(scope="module")
def kinds(small: Ring) -> list[Kind]:
    return kinds_of(small)


def test_round_trips(tiny: Ring, secure: Ring, kinds: list[Kind]) -> None:
    for kind in [*kinds, *kinds_of(tiny), *kinds_of(secure)]:
        assert kind.reread(kind.data) == kind.data, kind.name
        assert kind.reread(bytearray(kind.data)) == kind.data  # any bytes-like object
        assert kind.reread(memoryview(kind.data)) == kind.data  # type: ignore[arg-type]


def test_reported_sizes(tiny: Ring) -> None:
    c = tiny.secret.encrypt(_ckks.encode(tiny.parameters, np.ones(3), tiny.scale, 2))
    product = tiny.evaluator.square(c)
    for item in (c, product, tiny.keys):
        assert item.nbytes == len(item.to_bytes())
    # Half of what is in memory, but for headers, permutations and 64-bit words that hold 40 to 48 bits.
    assert tiny.keys.nbytes < 0.45 * tiny.keys.memory_bytes
    unseeded = tiny.evaluator.add(c, c)
    n_bits = tiny.parameters.n * sum(q.bit_length() for q in tiny.parameters.moduli[:3])
    assert unseeded.nbytes - c.nbytes == n_bits // 8 - 32


def test_reloaded_objects_work(tiny: Ring) -> None:
    p = _ckks.Parameters.from_bytes(tiny.parameters.to_bytes(), allow_insecure=True)
    secret = _ckks_secret.SecretKey.from_bytes(p, tiny.secret.to_bytes())
    keys = _ckks.EvaluationKeys.from_bytes(p, tiny.keys.to_bytes())
    public = _ckks.PublicKey.from_bytes(p, tiny.secret.public_key().to_bytes())
    assert keys.rotations == tiny.keys.rotations == {1: 3, 2: 3, 3: 3, 7: 2, 15: 3}
    assert keys.relinearization_level == 3
    x = np.linspace(-1, 1, 16)
    c = _ckks.Ciphertext.from_bytes(p, _ckks.encrypt(public, _ckks.encode(p, x, tiny.scale, 3)).to_bytes())
    e = _ckks.Evaluator(p, keys)
    result = e.rotate(e.rescale(e.relinearize(e.square(c))), 3)
    np.testing.assert_allclose(secret.decrypt(result, precision_bits=30), np.roll(x * x, -3), atol=2.0**-22)


def unpack(data: bytes, n: int, bits: int) -> list[int]:
    """n residues of `bits` bits, lowest bit first."""
    number = int.from_bytes(data[: n * bits // 8], "little")
    return [(number >> (i * bits)) & ((1 << bits) - 1) for i in range(n)]


def expand(seed: bytes, polynomial: int, prime: int, q: int, n: int) -> list[int]:
    """The documented expansion of a seed, from RFC 8439's ChaCha20 in another implementation's hands."""
    nonce = struct.pack("<IQI", 0, (polynomial << 16) + prime, 0)
    stream = Cipher(ChaCha20(seed, nonce), None).encryptor().update(bytes(64 * n))
    words = (w & ((1 << q.bit_length()) - 1) for (w,) in struct.iter_unpack("<Q", stream))
    values = [w for w in words if w < q]
    assert len(values) >= n
    return values[:n]


def test_layout_of_a_seeded_ciphertext(tiny: Ring) -> None:
    p = tiny.parameters
    c = tiny.secret.encrypt(_ckks.encode(p, np.ones(3), tiny.scale, 2))
    data = c.to_bytes()
    magic, version, flags, digest, level, size, scale, length = struct.unpack_from("<4sHH32sIIdQ", data)
    assert (magic, version, flags, digest, level, size, scale) == (b"KKCT", 1, 1, p.digest, 2, 2, tiny.scale)
    assert length == len(data) - 64
    at = 64
    for i, q in enumerate(p.moduli[:3]):
        assert unpack(data[at:], p.n, q.bit_length()) == c.residues()[0, i].tolist()
        at += p.n * q.bit_length() // 8
    seed = data[at:]
    assert len(seed) == 32
    for i, q in enumerate(p.moduli[:3]):
        assert expand(seed, 0, i, q, p.n) == c.residues()[1, i].tolist()


def test_layout_of_parameters_and_keys(tiny: Ring) -> None:
    p = tiny.parameters
    head = struct.pack("<4sHHIIII", b"KKPR", 1, 0, p.log_n, p.digits, len(p.moduli), len(p.special_moduli))
    assert p.to_bytes() == head + struct.pack("<6Q", *p.moduli, *p.special_moduli)

    data = tiny.secret.evaluation_keys({3: 0}).to_bytes()
    magic, version, flags, digest, rotations, reserved, length = struct.unpack_from("<4sHH32sIIQ", data)
    assert (magic, version, flags, digest, rotations, reserved) == (b"KKEK", 1, 0, p.digest, 1, 0)
    assert length == len(data) - 56
    step, level = struct.unpack_from("<II", data, 56)
    assert (step, level) == (3, 0)
    primes = [p.moduli[0], *p.special_moduli]
    assert len(data) - 64 - 32 == sum(p.n * q.bit_length() // 8 for q in primes)

    # The key itself: b + a s = e + [q_0 only] P s(X^(5^3)), e small, with exact arithmetic modulo each prime.
    from . import exact

    seed, at = data[64:96], 96
    secret = exact.secret_coefficients(tiny.secret.to_bytes(), p.n)
    rotated = exact.automorphism(secret, pow(5, 3, 2 * p.n), 2**64)
    product = math.prod(p.special_moduli)
    for index, q in zip([0, len(p.moduli), len(p.moduli) + 1], primes, strict=True):
        b = unpack(data[at:], p.n, q.bit_length())
        at += p.n * q.bit_length() // 8
        a = expand(seed, 0, index, q, p.n)
        b_row, a_row = (
            [int(c) for c in _ckks.transform(p, index, np.array(row, dtype=np.uint64), inverse=True)] for row in (b, a)
        )
        gadget = product if index == 0 else 0
        noise = [
            (x + y - gadget * exact.centred([r], 2**64)[0]) % q
            for x, y, r in zip(b_row, exact.multiply(a_row, secret, q), rotated, strict=True)
        ]
        assert max(abs(e) for e in exact.centred(noise, q)) <= 20


def test_typed_refusals(small: Ring, tiny: Ring, kinds: list[Kind]) -> None:
    def code(call: Callable[[], object]) -> str:
        with pytest.raises(KakuriError) as caught:
            call()
        return caught.value.code

    for kind in kinds:
        data = kind.data
        assert code(lambda k=kind: k.reread(b"")) == "KK-F41"
        assert code(lambda k=kind, d=data: k.reread(d[:-1])) == "KK-F41"
        assert code(lambda k=kind, d=data: k.reread(d + b"\0")) == "KK-F41"
        assert code(lambda k=kind, d=data: k.reread(b"ZIP\0" + d[4:])) == "KK-F42"
        assert code(lambda k=kind, d=data: k.reread(d[:4] + b"\2\0" + d[6:])) == "KK-F43"
        assert code(lambda k=kind, d=data: k.reread(d[:6] + b"\0\x80" + d[8:])) == "KK-F45"
        if kind.name != "parameters":
            assert code(lambda k=kind, d=data: k.reread(d[:8] + bytes(32) + d[40:])) == "KK-F44"

    ciphertext = next(k for k in kinds if k.name == "ciphertext")

    def patched(offset: int, value: bytes) -> str:
        return code(
            lambda: ciphertext.reread(ciphertext.data[:offset] + value + ciphertext.data[offset + len(value) :])
        )

    assert patched(40, struct.pack("<I", 3)) == "KK-F45"  # level
    assert patched(40, struct.pack("<I", 1)) == "KK-F41"  # another level: another length
    assert patched(44, struct.pack("<I", 4)) == "KK-F45"  # size
    for scale in (0.0, -1.0, math.inf, math.nan, 2.0**78):
        assert patched(48, struct.pack("<d", scale)) == "KK-F45"
    assert patched(56, struct.pack("<Q", 2**63)) == "KK-F41"
    assert patched(64, b"\xff" * 8) == "KK-F46"  # the first residue: all ones is above every prime

    keys = next(k for k in kinds if k.name == "evaluation keys")
    huge = keys.data[:40] + struct.pack("<I", 2**32 - 1) + keys.data[44:]
    assert code(lambda: keys.reread(huge)) == "KK-F45"
    secret = next(k for k in kinds if k.name == "secret key")
    assert code(lambda: secret.reread(secret.data[:-1] + b"\xff")) == "KK-F46"
    assert code(lambda: _ckks.Ciphertext.from_bytes(tiny.parameters, ciphertext.data)) == "KK-F44"


def test_rotation_keys_must_ascend(small: Ring) -> None:
    one, two = (small.secret.evaluation_keys({step: 0}).to_bytes() for step in (1, 2))
    body_one, body_two = one[56:], two[56:]

    def join(*bodies: bytes) -> bytes:
        payload = b"".join(bodies)
        return one[:40] + struct.pack("<IIQ", len(bodies), 0, len(payload)) + payload

    assert _ckks.EvaluationKeys.from_bytes(small.parameters, join(body_one, body_two)).rotations == {1: 0, 2: 0}
    for bodies in ((body_two, body_one), (body_one, body_one)):
        with pytest.raises(KakuriError, match="KK-F47"):
            _ckks.EvaluationKeys.from_bytes(small.parameters, join(*bodies))


@given(data=st.data())
def test_any_bytes_are_refused_or_read_back_the_same(kinds: list[Kind], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(kinds))
    tail = data.draw(st.binary(max_size=200))
    blob = kind.data[: data.draw(st.sampled_from([0, 8, 40, 44, 56, 64]))] + tail
    with contextlib.suppress(KakuriError):
        assert kind.reread(blob) == blob


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Cuts, extensions, header words at extremes, header bytes, flipped bits, swapped pieces."""
    out = bytearray(data)
    choice = rng.randrange(6)
    if choice == 0:
        return bytes(out[: rng.randrange(len(out))])
    if choice == 1:
        return bytes(out) + rng.randbytes(rng.randrange(1, 64))
    if choice == 2:
        at = rng.randrange(min(len(out) - 8, 72))
        width, value = rng.choice(
            [(4, 2**32 - 1), (4, 2**31), (4, 0), (8, 2**64 - 1), (8, 2**63), (8, 1), (8, len(out))]
        )
        out[at : at + width] = value.to_bytes(width, "little")
    elif choice == 3:
        out[rng.randrange(min(len(out), 72))] = rng.randrange(256)
    elif choice == 4:
        for _ in range(rng.randrange(1, 5)):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    else:
        i, j = sorted(rng.randrange(len(out)) for _ in range(2))
        out[i:j] = out[i:j][::-1]
    return bytes(out)


def test_hundred_thousand_mutated_inputs(kinds: list[Kind]) -> None:
    """Every mutated input is refused with a typed error, or is itself a valid object that is written back unchanged."""
    rng = random.Random(20240229)
    refused = accepted = 0
    for kind in kinds:
        for _ in range(15_000):
            data = mutate(kind.data, rng)
            try:
                assert kind.reread(data) == data, kind.name
                accepted += 1
            except KakuriError:
                refused += 1
    assert refused + accepted == 105_000
    assert refused > 50_000
    assert accepted > 1_000  # flips inside residues stay valid ciphertexts: authenticity is the transport's
