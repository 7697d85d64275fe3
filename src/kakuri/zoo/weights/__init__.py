"""Trained networks that ship with the package.

Purpose: ONNX files of trained networks and, for each, a card that says how it was trained and what it reaches.
Guarantees: no torch is needed; `path` verifies the file's SHA-256 against its card.
Does not guarantee: fitness for anything but demonstration and the reproduction of S4's tables.
Source: S4, tables 5.5 and 5.7; `reproduce/S4/train_mnist.py` makes them again.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

from kakuri.errors import KakuriError

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Names of the shipped networks, sorted, for example ``mnist-3layer-square``."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.onnx")))


def path(name: str) -> Path:
    """The ONNX file of ``name``. Raises KK-Z30 for an unknown name, KK-Z31 when the file differs from its card."""
    file = _FOLDER / f"{_known(name)}.onnx"
    digest, expected = hashlib.sha256(file.read_bytes()).hexdigest(), card(name)["sha256"]
    if digest != expected:
        hint = "install the package again"
        raise KakuriError(
            "KK-Z31", "shipped weights are damaged", where=file.name, got=digest, limit=expected, hint=hint
        )
    return file


def card(name: str) -> dict[str, Any]:
    """How ``name`` was trained, on which data, with which accuracy. Raises KK-Z30 for an unknown name."""
    content: dict[str, Any] = json.loads((_FOLDER / f"{_known(name)}.json").read_text(encoding="utf-8"))
    return content


def _known(name: str) -> str:
    known = names()
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else ""
    raise KakuriError("KK-Z30", "no shipped network of that name", got=repr(name), limit=", ".join(known), hint=hint)
