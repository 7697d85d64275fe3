"""What to record of each protection.

Purpose: one function per room that drives the real thing and keeps the bytes that its adversary holds.
Guarantees: what is recorded is what ``to_bytes`` gives, the same bytes that cross between machines.
Does not guarantee: anything about a network's own framing (TLS records, packet sizes).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import Target, messages
from kakuri.audit.report import Subject
from kakuri.trust import ENCRYPTED_INFERENCE

REPEATS = 40
Progress: TypeAlias = Callable[[str, float], None]


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
    answers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Subject, ...]:
    """What the server saw, in two recordings: all queries, and the answers with the seconds that each took.

    Every image is sent, and the first ``repeats`` of them twice. Answers cost the server's time: ``answers`` says how
    many queries are answered (all without it, none with 0), three fifths of them for different images and the rest for
    their repeats; with fewer than 45 the attack on repeats can prove nothing.
    images: (n, ...) as ``client.encrypt`` takes them one by one. labels: (n,). scores: (n, classes) plaintext scores,
    what the answer would have been without the protection. progress: called with a text and a share done.
    """
    order = np.concatenate([np.arange(len(images)), np.arange(min(repeats, len(images)))])
    report = progress or (lambda text, share: None)
    queries = []
    for count, index in enumerate(order):
        queries.append(client.encrypt(images[index]))
        report("recording queries", (count + 1) / len(order))
    known = {"image": images[order], "label": np.asarray(labels)[order], "group": order}
    plain = {"query": [np.ascontiguousarray(images[index], "<f4").tobytes() for index in order]}
    if scores is not None:
        plain["answer"] = [np.ascontiguousarray(scores[index], "<f4").tobytes() for index in order]
    shared = {"evaluation keys": evaluation_keys} if evaluation_keys else {}
    sent = Target(
        name="encrypted inference server, queries",
        views={"query": messages([query.to_bytes() for query in queries])},
        truth=known,
        shared=shared,
        plain={name: messages(data) for name, data in plain.items()},
    )
    if answers == 0:
        return (Subject(sent, ENCRYPTED_INFERENCE),)
    answered = _answered(len(images), len(order) - len(images), answers)
    received, seconds = [], []
    for count, at in enumerate(answered):
        started = time.perf_counter()
        received.append(server.run(queries[at]).to_bytes())
        seconds.append(time.perf_counter() - started)
        report("recording answers", (count + 1) / len(answered))
    given = Target(
        name="encrypted inference server, answers",
        views={"answer": messages(received)},
        truth={name: values[answered] for name, values in known.items()},
        numbers={"seconds": np.array(seconds, dtype=np.float64)[:, None]},
        plain={name: messages([data[at] for at in answered]) for name, data in plain.items()},
    )
    return Subject(sent, ENCRYPTED_INFERENCE), Subject(given, ENCRYPTED_INFERENCE)


def _answered(images: int, repeats: int, answers: int | None) -> NDArray[np.int64]:
    """Places in the order of queries that are answered; a repeat stands ``images`` places behind its first."""
    if answers is None or answers >= images + repeats:
        return np.arange(images + repeats)
    twice = min(repeats, answers * 2 // 5)
    once = min(images, answers - twice)
    return np.concatenate([np.arange(once), images + np.arange(min(twice, once))])
