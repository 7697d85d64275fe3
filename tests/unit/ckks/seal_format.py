"""Just enough of Microsoft SEAL's uncompressed serialisation to move secrets and ciphertexts to and from it.

SEAL and the kernel use the smallest primitive 2N-th root and bit-reversed order, so NTT values agree word for word.
SEAL orders slots by powers of 3 where the kernel uses powers of 5; ``slot_order`` converts.
Source: SEAL 4.1, native/src/seal/{serialization,ciphertext,plaintext,dynarray}.h.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<HBBBBHQ")  # magic, header size, version major, minor, compression, reserved, total size
CIPHERTEXT = struct.Struct("<32sBQQQdQ")  # parms_id, is_ntt_form, size, degree, moduli, scale, correction factor


def framed(version: tuple[int, int], body: bytes) -> bytes:
    return HEADER.pack(0xA15E, 16, *version, 0, 0, 16 + len(body)) + body


def array(version: tuple[int, int], words: NDArray[np.uint64]) -> bytes:
    flat = np.ascontiguousarray(words, dtype="<u8").ravel()
    return framed(version, struct.pack("<Q", flat.size) + flat.tobytes())


def saved(item: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "item"
        item.save(str(path))
        return path.read_bytes()


def loaded(item: Any, context: Any, data: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "item"
        path.write_bytes(data)
        item.load(context, str(path))
    return item


def version_of(data: bytes) -> tuple[int, int]:
    magic, size, major, minor, compression, _, total = HEADER.unpack_from(data)
    assert (magic, size, compression, total) == (0xA15E, 16, 0, len(data))
    return major, minor


def secret_bytes(like: bytes, ntt: NDArray[np.uint64]) -> bytes:
    """A secret key with these values, (primes, N) in NTT form; `like` is another secret of the same context."""
    version = version_of(like)
    return framed(version, like[16:48] + struct.pack("<Qd", ntt.size, 1.0) + array(version, ntt))


def read_secret(data: bytes, primes: int, n: int) -> NDArray[np.uint64]:
    version_of(data)
    return (
        np.frombuffer(data, "<u8", count=primes * n, offset=16 + 32 + 16 + 16 + 8).reshape(primes, n).astype(np.uint64)
    )


def ciphertext_bytes(like: bytes, limbs: NDArray[np.uint64], scale: float) -> bytes:
    """A ciphertext with these values, (size, limbs, N) in NTT form; `like` is one of the same level."""
    version = version_of(like)
    size, moduli, n = limbs.shape
    return framed(version, CIPHERTEXT.pack(like[16:48], 1, size, n, moduli, scale, 1) + array(version, limbs))


def read_ciphertext(data: bytes) -> tuple[NDArray[np.uint64], float]:
    version_of(data)
    _, is_ntt, size, n, moduli, scale, _ = CIPHERTEXT.unpack_from(data, 16)
    assert is_ntt
    at = 16 + CIPHERTEXT.size + 16
    assert struct.unpack_from("<Q", data, at) == (size * n * moduli,)
    return np.frombuffer(data, "<u8", offset=at + 8).reshape(size, moduli, n).astype(np.uint64), scale


def slot_order(n: int) -> NDArray[np.int64]:
    """order[j]: the kernel's slot that holds SEAL's slot j of reals: zeta^(3^j) is zeta^(5^i) or its conjugate."""
    mine = {pow(5, i, 2 * n): i for i in range(n // 2)}
    powers = [pow(3, j, 2 * n) for j in range(n // 2)]
    return np.array([mine[p] if p in mine else mine[2 * n - p] for p in powers])
