from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kakuri import _ckks
from kakuri.errors import KakuriError


def is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


@given(log_n=st.integers(4, 7), bits=st.lists(st.integers(16, 26), min_size=1, max_size=4))
def test_ntt_primes_are_just_below_or_the_nearest_unused_ones(log_n: int, bits: list[int]) -> None:
    primes = _ckks.ntt_primes(log_n, bits)
    step = 2 << log_n
    for i, (p, b) in enumerate(zip(primes, bits, strict=True)):
        assert p % step == 1
        assert is_prime(p)
        just_below = range(2**b - 2**b // 1024, 2**b)
        distance = abs(p - 2**b)
        farthest = 2**b if p in just_below else 2**b + distance
        better = range(2**b - distance + 1, farthest)
        candidates = [*range(better.start, better.stop), *just_below] if p > 2**b else better
        assert not [c for c in candidates if c % step == 1 and is_prime(c) and c not in primes[:i]]


def test_a_prime_of_a_usual_size_takes_no_bit_more_than_asked_for() -> None:
    bits = [41, 40, 40, 40, 42]
    assert [p.bit_length() for p in _ckks.ntt_primes(13, bits, "conjugate_invariant")] == bits


def test_ntt_primes_stay_below_two_to_the_fifty() -> None:
    primes = _ckks.ntt_primes(14, [50] * 6)
    assert len(set(primes)) == 6
    assert all(2**49 < p < 2**50 for p in primes)


@pytest.mark.parametrize(("log_n", "bits"), [(3, [30]), (17, [30]), (14, [51]), (14, [5])])
def test_ntt_primes_refusals(log_n: int, bits: list[int]) -> None:
    with pytest.raises(KakuriError):
        _ckks.ntt_primes(log_n, bits)


# The homomorphic encryption standard (2018), table 1, and eprint 2024/463, table 5.2; ternary, classical, 128 bits.
STANDARD = {10: 27, 11: 54, 12: 109, 13: 218, 14: 438, 15: 881}
EPRINT_2024_463 = {10: 26, 11: 53, 12: 106, 13: 214, 14: 430, 15: 868, 16: 1747}


@pytest.mark.parametrize("log_n", range(4, 17))
def test_limit_is_the_stricter_table(log_n: int) -> None:
    tables = [t[log_n] for t in (STANDARD, EPRINT_2024_463) if log_n in t]
    assert _ckks.max_log_qp(log_n) == (min(tables) if tables else 0)


@pytest.mark.parametrize("log_n", range(10, 17))
def test_security_boundary(log_n: int) -> None:
    """The longest modulus chain within the limit is accepted; one more smallest prime is refused, with the numbers."""
    limit = _ckks.max_log_qp(log_n)
    bits = 25 if log_n < 12 else 40
    count = int(limit / bits)
    primes = _ckks.ntt_primes(log_n, [bits] * (count + 1))
    accepted = _ckks.Parameters(log_n, primes[: count - 1] or primes[:1], [], 1)
    assert accepted.security_bits == 128
    with pytest.raises(KakuriError) as refused:
        _ckks.Parameters(log_n, primes[:-1], primes[-1:], 1)
    assert refused.value.code == "KK-N04"
    assert refused.value.problem.limit == f"{limit:g}"
    insecure = _ckks.Parameters(log_n, primes[:-1], primes[-1:], 1, allow_insecure=True)
    assert insecure.security_bits == 0


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(KakuriError) as refused:
        _ckks.Parameters(12, [2**49 + 1, 97, 2**50 + 1], [97], 5)
    codes = [p.code for p in refused.value.problems]
    assert codes.count("KK-N02") >= 3
    assert "KK-N03" in codes
    assert {p.where for p in refused.value.problems} >= {
        "moduli[0]",
        "moduli[1]",
        "moduli[2]",
        "special_moduli[0]",
        "digits",
    }


def test_repeated_prime_and_empty_moduli_are_refused() -> None:
    p, q = _ckks.ntt_primes(13, [40, 41])
    for moduli, special in (([p, p], []), ([p], [p]), ([], [q])):
        with pytest.raises(KakuriError, match="KK-N02"):
            _ckks.Parameters(13, moduli, special, 1)


def test_bytes_digest_and_equality() -> None:
    primes = _ckks.ntt_primes(13, [50, 40, 40, 50])
    a = _ckks.Parameters(13, primes[:3], primes[3:], 3)
    b = _ckks.Parameters.from_bytes(a.to_bytes())
    other_digits = _ckks.Parameters(13, primes[:3], primes[3:], 1)
    assert a == b
    assert hash(a) == hash(b)
    assert a.digest == b.digest
    assert len(a.digest) == 32
    assert a != other_digits
    assert a != "a"
    assert (b.log_n, b.n, b.slots, b.moduli, b.special_moduli, b.digits, b.max_level) == (
        13,
        8192,
        4096,
        primes[:3],
        primes[3:],
        3,
        2,
    )


def test_digest_is_sha256_of_the_bytes() -> None:
    import hashlib

    primes = _ckks.ntt_primes(13, [50, 50])
    a = _ckks.Parameters(13, primes[:1], primes[1:], 1)
    assert a.digest == hashlib.sha256(a.to_bytes()).digest()


def test_insecure_bytes_need_the_flag_again() -> None:
    primes = _ckks.ntt_primes(5, [40, 40])
    data = _ckks.Parameters(5, primes[:1], primes[1:], 1, allow_insecure=True).to_bytes()
    with pytest.raises(KakuriError, match="KK-N04"):
        _ckks.Parameters.from_bytes(data)
    assert _ckks.Parameters.from_bytes(data, allow_insecure=True).security_bits == 0
