"""A recording as a file, to audit it elsewhere or later.

Purpose: ``save`` and ``load`` of ``Recording`` in one safetensors file.
Guarantees: nothing is pickled; the file is read within a bound, and names, types, shapes and row numbers fit each other
before a recording is made. It is written whole or not at all, readable by its owner only.
Does not guarantee: secrecy. The file holds the plain weights and activations beside what hides them: keep it as you
keep the model.
Errors: KK-O40 not a recording; KK-F10 and up from ``kakuri.files``.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.offload.recording import Recording
from kakuri.offload.tiers import BLINDING

MAX_FILE_BYTES = 1 << 31
_TEXTS = ("tier", "layer")
_ROWS = ("weight_row", "sample")
_MATRICES = (
    "weights",
    "later_weights",
    "plain_weights",
    "plain_later_weights",
    "activations",
    "plain_activations",
)
_SINGLES = ("gradients", "plain_gradients", "inputs")
_ARRAYS = (*_ROWS, *_MATRICES, *_SINGLES, "member", "scores")


def save(recording: Recording, path: Path | str, *, overwrite: bool = False) -> None:
    """Raises KK-F10 and KK-F11."""
    tensors = {name: np.ascontiguousarray(getattr(recording, name)) for name in _ARRAYS}
    tensors |= {name: np.frombuffer(getattr(recording, name).encode(), np.uint8) for name in _TEXTS}
    with atomic_write(path, mode=0o600, overwrite=overwrite) as file:
        file.write(safetensors.save(tensors))


def load(path: Path | str) -> Recording:
    """Raises KK-F12, KK-F13 and KK-O40."""
    content = read_bounded(path, limit_bytes=MAX_FILE_BYTES)
    try:
        tensors = safetensors.load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _refused(path, f"not a safetensors file of arrays: {error}") from None
    wanted = {field.name for field in fields(Recording)}
    if set(tensors) != wanted:
        raise _refused(path, f"names {', '.join(sorted(tensors))[:200]}")
    texts = {name: _text(tensors[name], path, name) for name in _TEXTS}
    if texts["tier"] not in BLINDING:
        raise _refused(path, f"a tier {texts['tier']!r}")
    _check(tensors, path)
    arrays: dict[str, Any] = {name: tensors[name] for name in _ARRAYS}
    return Recording(tier=texts["tier"], layer=texts["layer"], **arrays)


def _check(tensors: dict[str, NDArray[Any]], path: Path | str) -> None:
    for name in (*_MATRICES, *_SINGLES, "scores"):
        matrix = tensors[name]
        some = matrix.size or name not in _MATRICES
        if matrix.dtype not in (np.float32, np.float64) or matrix.ndim != 2 or not some:
            raise _refused(path, f"{name} is {matrix.dtype} {matrix.shape}, not a matrix of floats")
        if not np.isfinite(matrix).all():
            raise _refused(path, f"{name} is not finite")
    for names in (_MATRICES[:4], _MATRICES[4:]):
        shapes = {tensors[name].shape for name in names}
        if len(shapes) > 1:
            raise _refused(path, f"{', '.join(names)} have the shapes {sorted(shapes)}")
    if tensors["activations"].shape[1] != tensors["weights"].shape[0]:
        raise _refused(path, "activations do not fit the weights")
    n, m = tensors["weights"].shape
    singles = [tensors[name].shape for name in _SINGLES]
    if singles != [(len(tensors["inputs"]), width) for width in (n * m, n * m, n)]:
        raise _refused(path, f"gradients of single samples do not fit the weights: {singles}")
    samples = len(tensors["scores"]) or len(tensors["activations"])
    for name, rows, most in (
        ("weight_row", len(tensors["weights"]), len(tensors["weights"])),
        ("sample", len(tensors["activations"]), samples),
        ("member", len(tensors["inputs"]), 2),
    ):
        numbers = tensors[name]
        fits = numbers.dtype == np.int64 and numbers.shape == (rows,)
        if not fits or (rows and not 0 <= numbers.min() <= numbers.max() < most):
            raise _refused(path, f"{name} does not number {rows} rows below {most}")


def _text(data: NDArray[Any], path: Path | str, name: str) -> str:
    text = data.tobytes().decode("utf-8", "replace") if data.dtype == np.uint8 else ""
    if not 0 < len(text) <= 1000:
        raise _refused(path, f"{name} is not a text")
    return text


def _refused(path: Path | str, got: str) -> KakuriError:
    hint = "kakuri.offload.recording_file.save(record(...), path) writes one"
    return KakuriError("KK-O40", "not a recording of an offloaded training", where=path, got=got, hint=hint)
