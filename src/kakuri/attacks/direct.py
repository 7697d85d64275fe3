"""Looking for values that stand in a message as they are.

Purpose: before anything is learnt, a real attacker looks at the bytes: every common encoding, every offset in the head.
Guarantees: what is chosen is chosen by the known samples only.
Does not guarantee: that values hidden deeper than ``HEAD_BYTES`` are found here; the learning attacks look further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.target import Question

Float64 = NDArray[np.float64]

HEAD_BYTES = 64
ENCODINGS = ("u1", "<f4", "<f8", "<u2", ">f4")
_LARGEST = 1e6  # pixels and scores are smaller, random floats are not


def candidates(question: Question, count: int) -> Iterator[tuple[str, Float64, Float64]]:
    """Name and ``count`` values for the known (k, count) and for the asked samples (m, count), wherever such values
    stand.

    Yields only readings whose values are all finite and below 1e6 for every known and asked sample.
    """
    known, asked = question.known[:, 0], question.asked[:, 0]
    for view, samples in question.views.items():
        joined = [b"".join(sample) for sample in samples]
        for encoding in ENCODINGS:
            for offset in range(HEAD_BYTES + 1):
                of_known = _values([joined[index] for index in known], encoding, offset, count)
                if of_known is None:
                    continue
                of_asked = _values([joined[index] for index in asked], encoding, offset, count)
                if of_asked is not None:
                    yield f"{view} copied as {encoding} from byte {offset}", of_known, of_asked


def _values(samples: Sequence[bytes], encoding: str, offset: int, count: int) -> Float64 | None:
    if min(len(sample) for sample in samples) < offset + count * np.dtype(encoding).itemsize:
        return None
    values = np.stack([np.frombuffer(sample, encoding, count, offset) for sample in samples])
    with np.errstate(invalid="ignore"):
        usable = bool(np.all(np.abs(values) < _LARGEST))
    return values.astype(np.float64) if usable else None
