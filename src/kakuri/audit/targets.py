"""What to record of each protection.

Purpose: one function per room that drives the real thing and keeps the bytes that its adversary holds.
Guarantees: what is recorded is what ``to_bytes`` gives, the same bytes that cross between machines.
Does not guarantee: anything about a network's own framing (TLS records, packet sizes).
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import Target, messages
from kakuri.audit.report import Subject
from kakuri.trust import ENCRYPTED_INFERENCE

REPEATS = 40


class Sendable(Protocol):
    """A query or an answer."""

    def to_bytes(self) -> bytes: ...


class EncryptingClient(Protocol):
    """The client of the encrypted room, as far as an audit uses it."""

    def encrypt(self, x: NDArray[Any], /) -> Sendable: ...


class EncryptedServer(Protocol):
    """The server of the encrypted room, as far as an audit uses it."""

    def run(self, query: Any, /) -> Sendable: ...


def encrypted(
    client: EncryptingClient,
    server: EncryptedServer,
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    scores: NDArray[Any] | None = None,
    evaluation_keys: bytes = b"",
    repeats: int = REPEATS,
) -> Subject:
    """Sends every image, and the first ``repeats`` of them twice, and keeps what the server saw.

    images: (n, ...) as ``client.encrypt`` takes them one by one. labels: (n,). scores: (n, classes) plaintext scores,
    what the answer would have been without the protection. Recorded: the query's bytes, the answer's bytes, the seconds
    each answer took, and the evaluation keys.
    """
    order = np.concatenate([np.arange(len(images)), np.arange(min(repeats, len(images)))])
    queries, answers, seconds = [], [], []
    for index in order:
        query = client.encrypt(images[index])
        started = time.perf_counter()
        answer = server.run(query)
        seconds.append(time.perf_counter() - started)
        queries.append(query.to_bytes())
        answers.append(answer.to_bytes())
    plain = {"query": messages([np.ascontiguousarray(images[index], "<f4").tobytes() for index in order])}
    if scores is not None:
        plain["answer"] = messages([np.ascontiguousarray(scores[index], "<f4").tobytes() for index in order])
    target = Target(
        name="encrypted inference server",
        views={"query": messages(queries), "answer": messages(answers)},
        truth={"image": images[order], "label": np.asarray(labels)[order], "group": order},
        numbers={"seconds": np.array(seconds, dtype=np.float64)[:, None]},
        shared={"evaluation keys": evaluation_keys} if evaluation_keys else {},
        plain=plain,
    )
    return Subject(target, ENCRYPTED_INFERENCE)
