"""Ways to read recorded bytes as numbers.

Purpose: one matrix of features per reading, for attacks that do not know what the bytes mean.
Guarantees: plaintext in common encodings (bytes, 16 to 64-bit integers, 32 and 64-bit floats, bits) stands in the
clear in one of the readings; statistics of the whole message (histogram, block means, random projections) stand in
others.
Does not guarantee: that a structure none of the readings shows is not there.
Each reading is a function: messages of n samples -> (n, features) float64, finite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Reading = Callable[[Sequence[bytes]], Float64]

PREFIX_VALUES = 4096
_BLOCKS = 256
_SKETCH = 1024


def standardise(features: Float64, reference: Float64) -> Float64:
    """Zero mean and unit variance by ``reference``'s statistics; constant columns become 0."""
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    scale = np.where(deviation > 1e-12 * np.maximum(1.0, np.abs(mean)), deviation, np.inf)
    return np.asarray((features - mean) / scale, dtype=np.float64)


def _decoded(dtype: str) -> Reading:
    width = np.dtype(dtype).itemsize

    def read(samples: Sequence[bytes]) -> Float64:
        longest = min(PREFIX_VALUES, max((len(sample) for sample in samples), default=0) // width)
        result = np.zeros((len(samples), longest))
        for row, sample in zip(result, samples, strict=True):
            count = min(longest, len(sample) // width)
            values = np.frombuffer(sample, dtype, count)
            with np.errstate(invalid="ignore"):
                wide = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
            row[:count] = np.arcsinh(wide)  # close to linear for pixels, tame for the huge floats of random bytes
        return result

    return read


def bits(samples: Sequence[bytes]) -> Float64:
    """The first ``PREFIX_VALUES`` bits."""
    result = np.zeros((len(samples), PREFIX_VALUES))
    for row, sample in zip(result, samples, strict=True):
        found = np.unpackbits(np.frombuffer(sample, np.uint8, min(len(sample), PREFIX_VALUES // 8)))
        row[: len(found)] = found
    return result


def histogram(samples: Sequence[bytes]) -> Float64:
    """Share of each byte value in the whole message, and the message's length."""
    result = np.zeros((len(samples), 257))
    for row, sample in zip(result, samples, strict=True):
        row[:256] = np.bincount(np.frombuffer(sample, np.uint8), minlength=256) / max(1, len(sample))
        row[256] = len(sample)
    return result


def block_means(samples: Sequence[bytes]) -> Float64:
    """Mean byte of each of ``_BLOCKS`` equal parts of the message."""
    result = np.zeros((len(samples), _BLOCKS))
    for row, sample in zip(result, samples, strict=True):
        if len(sample) >= _BLOCKS:
            block = len(sample) // _BLOCKS
            row[:] = np.frombuffer(sample, np.uint8, block * _BLOCKS).reshape(_BLOCKS, block).mean(axis=1)
    return result


def projections(samples: Sequence[bytes]) -> Float64:
    """The whole message folded to ``_SKETCH`` sums with fixed random signs: nothing of it is left out."""
    signs = np.random.Generator(np.random.PCG64(0x6B616B757269))
    result = np.zeros((len(samples), _SKETCH))
    longest = max((len(sample) for sample in samples), default=0)
    rows = -(-longest // _SKETCH)
    for start in range(0, rows, 1024):
        count = min(1024, rows - start)
        pattern = signs.integers(0, 2, size=(count, _SKETCH), dtype=np.int8).astype(np.float32) * 2 - 1
        for index, sample in enumerate(samples):
            part = np.frombuffer(sample, np.uint8)[start * _SKETCH : (start + count) * _SKETCH]
            if len(part):
                padded = np.full(count * _SKETCH, 127.5, np.float32)
                padded[: len(part)] = part
                result[index] += np.einsum("bs,bs->s", padded.reshape(count, _SKETCH) - np.float32(127.5), pattern)
    return result


READINGS: dict[str, Reading] = {
    "bytes": _decoded("u1"),
    "float32": _decoded("<f4"),
    "float64": _decoded("<f8"),
    "integers of 16 bits": _decoded("<u2"),
    "integers of 32 bits": _decoded("<u4"),
    "integers of 64 bits": _decoded("<u8"),
    "bits": bits,
    "byte histogram": histogram,
    "block means": block_means,
    "random projections": projections,
}
