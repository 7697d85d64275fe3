"""Format carving and strings: model files inside the artefact, and words that name layers.

Purpose: what an unpacker and ``strings`` show in a minute.
Method: markers of model formats; for TensorFlow Lite the file is walked and its buffers are taken; runs of printable
text are compared with operator words.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth, Words, share_of, words_of

_MARKERS = {
    "tflite": b"TFL3",
    "onnx": b"\x08\x07\x12\x07pytorch",
    "zip": b"PK\x03\x04",
    "numpy": b"\x93NUMPY",
    "hdf5": b"\x89HDF\r\n",
}
_TEXT = re.compile(rb"[\x20-\x7e]{6,200}")
_WORDS = re.compile(rb"conv|dense|relu|pool|softmax|logits|batch_?norm|tensor|layer|weight", re.IGNORECASE)


class Carving(Extraction):
    name = "carving"
    recovers = "weights in model files, by their formats"

    def claim(self, artefact: Artefact, random: np.random.Generator) -> dict[str, Any]:
        content = artefact.content
        found = sorted(name for name, marker in _MARKERS.items() if marker in content)
        texts = [match[0] for match in _TEXT.finditer(content)]
        at = content.find(_MARKERS["tflite"])
        carved = content[max(0, at - 4) :] if at >= 4 else b""
        return {"formats": found, "texts": texts, "words": _all_words(carved)}

    def score(self, claim: dict[str, Any], truth: Truth) -> tuple[float, dict[str, Detail]]:
        texts = b"\n".join(claim["texts"])
        named = sum(name.encode() in texts for name in truth.names)
        details: dict[str, Detail] = {
            "formats": ", ".join(claim["formats"]) or "none",
            "layer_names": named,
            "telling_words": len(_WORDS.findall(texts)),
        }
        return share_of(truth.words, claim["words"]), details

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        weights = random.standard_normal(4096).astype("<f4")
        data = b"\x1c\0\0\0TFL3" + b"conv2d_7/Relu\0" + bytes(10) + weights.tobytes()
        return Artefact("planted model file", {"net.tflite": data}), Truth(
            weights.view("<u4"), names=("conv2d_7/Relu",)
        )


def _all_words(data: bytes) -> Words:
    """Words at every alignment."""
    return np.unique(
        np.concatenate([words_of(data, offset) for offset in range(4) if len(data) > 8] or [words_of(b"")])
    )
