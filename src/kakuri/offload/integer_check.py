"""Did four workers multiply rightly? Freivalds' check over secret primes: exact, so that it never cries wolf.

Purpose: decide whether an integer matrix Y is A B, and which worker's part is wrong when it is not.
Guarantees: a right product always passes. A wrong entry, whatever it is, passes one prime with probability at most
2^-24: below 2^64 in size, the error has at most two divisors among the 5 * 10^7 primes between 2^30 and 2^31, and the
probe misses it modulo any other prime with probability below 2^-30. ``PRIMES`` are independent: 2^-48 in all.
``part_is_right`` works modulo 2^64, where a probe misses an error of 2^63 half of the time; it has 32 probes.
Does not guarantee: soundness against somebody who learns primes or probes before answering.
Source: Freivalds 1977; Miller-Rabin with the bases 2, 3, 5, 7 decides below 3.2 * 10^9 (Jaeschke 1993).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kakuri.offload import ring
from kakuri.offload.masks import MaskStream

PRIMES = 2
_PART_PROBES = 32
_LOW, _HIGH = 1 << 30, 1 << 31


def is_right(a: Tensor, b: Tensor, y: Tensor, stream: MaskStream) -> bool:
    """a (p, q), b (q, r), y (p, r), int64: y = a b as integers?"""
    for _ in range(PRIMES):
        p = secret_prime(stream)
        probe = torch.from_numpy((stream.words(b.shape[1]) % p).astype("int64"))
        expected = _times(a, _times(b, probe, p), p)
        if not torch.equal(expected, _times(y, probe, p)):
            return False
    return True


def part_is_right(a: Tensor, b: Tensor, y: Tensor, stream: MaskStream) -> bool:
    """y = a b modulo 2^64? For one worker's shares."""
    words = stream.words(b.shape[1] * _PART_PROBES).view("int64").copy()
    probes = torch.from_numpy(words).view(b.shape[1], _PART_PROBES)
    return torch.equal(ring.product(a, ring.product(b, probes)), ring.product(y, probes))


def secret_prime(stream: MaskStream) -> int:
    """Uniform among the primes between 2^30 and 2^31."""
    while True:
        for word in stream.words(64):
            candidate = _LOW + int(word) % (_HIGH - _LOW)
            if _is_prime(candidate):
                return candidate


def _is_prime(n: int) -> bool:
    """For n between 11 and 3.2 * 10^9."""
    if any(n % small == 0 for small in (2, 3, 5, 7)):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(n, base, odd, twos) for base in (2, 3, 5, 7))


def _passes(n: int, base: int, odd: int, twos: int) -> bool:
    x = pow(base, odd, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def _times(m: Tensor, v: Tensor, p: int) -> Tensor:
    """m (k, n), v (n,) with entries in [0, p) -> m v modulo p. Sums of n < 2^32 numbers below 2^31 fit int64."""
    return ((m % p).mul_(v) % p).sum(1) % p
