"""Arithmetic of shares: matrices over the integers modulo 2^64, in int64.

Purpose: what a T3 worker computes, and what its master splits and checks; neither side needs anything secret for it.
Guarantees: ``product`` is exact modulo 2^64, on any device, by matrix products in double precision: entries are cut
into limbs of 22, 22 and 20 bits, and sums of 512 products of two limbs stay below 2^53. ``expand`` is ChaCha20's key
stream, so that a 32-byte seed stands for a uniform matrix.
Does not guarantee: constant time; integer and floating-point products do not depend on values on usual machines.
Source: RFC 8439 (ChaCha20), from ``cryptography``.
"""

from __future__ import annotations

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from torch import Tensor

SEED_BYTES = 32
_LIMB_BITS = 22
_SUMMED = 512


def product(a: Tensor, b: Tensor) -> Tensor:
    """a (p, q), b (q, r) -> a b modulo 2^64; int64."""
    total = torch.zeros(a.shape[0], b.shape[1], dtype=torch.int64, device=a.device)
    for start in range(0, a.shape[1], _SUMMED):
        left, right = _limbs(a[:, start : start + _SUMMED]), _limbs(b[start : start + _SUMMED])
        for i, first in enumerate(left):
            for j, second in enumerate(right[: len(right) - i]):  # the others are multiples of 2^64 or cut off
                total += (first @ second).to(torch.int64) << (_LIMB_BITS * (i + j))
    return total


def _limbs(x: Tensor) -> list[Tensor]:
    """x = l0 + l1 2^22 + l2 2^44 modulo 2^64, as float64."""
    mask = (1 << _LIMB_BITS) - 1
    return [((x >> shift) & mask).double() for shift in (0, _LIMB_BITS, 2 * _LIMB_BITS)]


def expand(seed: bytes, shape: tuple[int, int]) -> Tensor:
    """A uniform matrix. seed: 32 bytes, used for one matrix only."""
    cipher = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()
    stream = bytearray(cipher.update(bytes(8 * shape[0] * shape[1])))
    return torch.from_numpy(np.frombuffer(stream, np.int64)).view(shape)


def seed_numbers(seed: bytes) -> tuple[int, ...]:
    """As a frame carries it."""
    return tuple(int(word) for word in np.frombuffer(seed, "<i8"))


def seed_from(numbers: tuple[int, ...]) -> bytes:
    """Raises ValueError for anything but four numbers."""
    if len(numbers) != SEED_BYTES // 8:
        raise ValueError("not a seed")
    return np.array(numbers, "<i8").tobytes()
