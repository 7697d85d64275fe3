"""Weights at their places: every layout that is published, tried on every tensor's shape.

Purpose: what somebody does who has read the documentation and knows the shapes, for example of the public base model.
Method: the claim is the artefact's bytes; the score lays each tensor out as raw, channels last, transposed, rows to
columns, and in panels of 8, 16 and 32 columns, uint8 less every zero point, and looks for a run of it. So the recall is
that of the best possible reader of these layouts.
Does not guarantee: anything about layouts that are not listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth

_FEWEST, _PROBE = 32, 48
Array = NDArray[Any]


class KnownLayouts(Extraction):
    name = "known_layouts"
    recovers = "weights at their places in the model"

    def claim(self, artefact: Artefact, random: np.random.Generator) -> bytes:
        return artefact.content

    def score(self, claim: bytes, truth: Truth) -> tuple[float, dict[str, Detail]]:
        own = found_share(claim, truth.own) if truth.own else 0.0
        return found_share(claim, truth.tensors), {"in_the_codes_own_order": round(own, 4)}

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        matrix = random.standard_normal((100, 70)).astype(np.float32)
        kernel = random.standard_normal((20, 12, 3, 3)).astype(np.float32)
        data = random.bytes(999) + b"".join(list(layouts(matrix))[-1]) + list(layouts(kernel))[1][0] + random.bytes(99)
        return Artefact("planted layouts", {"app": data}), Truth(np.zeros(0, "<u4"), {"m": matrix, "k": kernel})


def found_share(data: bytes, tensors: Mapping[str, Array]) -> float:
    """The share of all values that lie in ``data`` in one of the layouts."""
    sizes = {name: array.size for name, array in tensors.items() if array.size >= _FEWEST}
    right = sum(found_in(data, tensors[name]) * size for name, size in sizes.items())
    return right / sum(sizes.values()) if sizes else 0.0


def found_in(data: bytes, array: Array) -> float:
    """The share of one tensor, in the layout that fits best."""
    return max((_pieces(data, pieces) for pieces in layouts(array)), default=0.0)


def _pieces(data: bytes, pieces: list[bytes]) -> float:
    """The share of these runs of bytes that occur, each judged by its middle, then value by value."""
    right = total = 0
    for piece in pieces:
        middle = max(0, len(piece) // 2 - _PROBE // 2) // 4 * 4
        total += len(piece)
        at = data.find(piece[middle : middle + _PROBE])
        start = at - middle
        if at < 0 or start < 0:
            continue
        have = np.frombuffer(data[start : start + len(piece)].ljust(len(piece), b"\xff"), np.uint8)
        right += int((have == np.frombuffer(piece, np.uint8)).sum())
    return right / total if total else 0.0


def layouts(array: Array) -> Iterator[list[bytes]]:
    """Runs of bytes per layout: stored, channels last, rows to columns, panels."""
    yield [array.tobytes()]
    if array.ndim == 4:
        yield [np.ascontiguousarray(array.transpose(0, 2, 3, 1)).tobytes()]
        matrix = array.transpose(2, 3, 1, 0).reshape(-1, len(array))
    elif array.ndim == 2:
        yield [np.ascontiguousarray(array.T).tobytes()]
        yield from _panels(array)
        matrix = array.T
    else:
        return
    yield [np.ascontiguousarray(matrix).tobytes()]
    yield from _panels(matrix)
    if array.dtype.itemsize == 1:
        for point in range(256) if array.dtype == np.uint8 else (0,):
            signed = np.clip(matrix.astype(np.int16) - point, -128, 127).astype(np.int8)
            for segments in _segments(array.shape):
                yield _quads(signed, segments)


def _segments(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many runs of rows a kernel's matrix may be read in: one, a row of taps each, a tap each."""
    return (1,) if len(shape) == 2 else tuple(dict.fromkeys((1, shape[2], shape[2] * shape[3])))


def _quads(matrix: Array, segments: int) -> list[bytes]:
    """Panels of 32 columns of four rows each, every segment of rows padded to a multiple of four."""
    rows, columns = matrix.shape
    filled = np.zeros((segments, -(-rows // segments // 4) * 4, columns), np.int8)
    filled[:, : rows // segments] = matrix.reshape(segments, -1, columns)
    quads = filled.reshape(-1, 4, columns).transpose(0, 2, 1)
    pieces = []
    for start in range(0, columns, 32):
        part = quads[:, start : start + 32]
        padded = np.zeros((len(quads), -(-part.shape[1] // 8) * 8, 4), np.int8)
        padded[:, : part.shape[1]] = part
        pieces.append(padded.tobytes())
    return pieces


def _panels(matrix: Array) -> Iterator[list[bytes]]:
    """(rows, columns) cut into panels of columns; the last one padded to a multiple of 8."""
    for width in (32, 16, 8):
        pieces = []
        for start in range(0, matrix.shape[1], width):
            part = matrix[:, start : start + width]
            padded = np.zeros((len(part), -(-part.shape[1] // 8) * 8), matrix.dtype)
            padded[:, : part.shape[1]] = part
            pieces.append(padded.tobytes())
        yield pieces
