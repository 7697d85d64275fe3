"""Inputs that the normal world does not see: from a sensor's process to the session and back.

Purpose: ``Sender`` seals samples to a session's public key and opens the answers that come back to it.
Guarantees: HPKE (``cryptography``); a sealed input is bound to its session and counter, an answer to the same; the key
    that the answer goes to travels inside, so that nobody in between can put in their own.
Does not guarantee: that the session's public key is genuine. Get it over a channel of your own, or from attestation
    that hardware signed; the ``process`` backend has none.
Source: RFC 9180; the need: Bayerl et al., as cited in S0, section 2.
Errors: KK-W15 an answer that does not open.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from kakuri.enclave.sealed import Crossing
from kakuri.errors import KakuriError
from kakuri.trust.device_key import SUITE, Recipient

_INPUT, _ANSWER = b"kakuri-enclave-input-1\n\0", b"kakuri-enclave-answer-1\n"


class Sender:
    """session_key: the session's 32 bytes. entering, leaving: the boundary, as ``package.facts`` has it."""

    def __init__(self, session_key: bytes, entering: Sequence[Crossing], leaving: Sequence[Crossing]) -> None:
        self._session = Recipient(session_key)
        self._entering, self._leaving = tuple(entering), tuple(leaving)
        self._private = X25519PrivateKey.generate()

    def seal(self, counter: int, sample: dict[str, NDArray[Any]]) -> bytes:
        """One sample, every entering value with batch axis 1; ``counter`` rises from call to call."""
        parts = [np.ascontiguousarray(sample[item.name], item.dtype).reshape(item.shape) for item in self._entering]
        plaintext = self._private.public_key().public_bytes_raw() + b"".join(part.tobytes() for part in parts)
        return self._session.seal(plaintext, self._info(_INPUT, counter))

    def open(self, counter: int, answer: bytes) -> dict[str, NDArray[Any]]:
        """The answer to the input of the same counter. Raises KK-W15."""
        try:
            raw = SUITE.decrypt(answer, self._private, self._info(_ANSWER, counter))
        except (InvalidTag, ValueError):
            raise KakuriError("KK-W15", "the answer does not open", hint="another session, sender or counter") from None
        outputs, at = {}, 0
        for item in self._leaving:
            outputs[item.name] = np.frombuffer(raw[at : at + item.size_bytes], item.dtype).reshape(item.shape)
            at += item.size_bytes
        return outputs

    def _info(self, label: bytes, counter: int) -> bytes:
        return label + self._session.public_key + struct.pack("<Q", counter)
