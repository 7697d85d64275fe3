"""An audit log that shows when a line was changed, dropped or moved.

Purpose: events of a session as JSON lines, each bound to the one before.
Guarantees: with a key, HMAC-SHA-256 chains the lines: whoever lacks the key can neither change, reorder nor insert
one without ``verify`` finding it; a file is flushed after every line. Details hold no secret: callers log names,
counts and reasons.
Does not guarantee: that the newest lines were not cut off (keep the last digest elsewhere), nor anything against a
holder of the key.
Errors: KK-T01 the log does not verify, KK-F24 details that are not JSON.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.strict_json import Json
from kakuri.trust.entropy import SystemEntropy

_START = "0" * 64
_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Entry:
    """number: from 0. seconds: since the epoch, as the writer's clock says. digest: hexadecimal, chains to the entry
    before."""

    number: int
    seconds: float
    event: str
    details: dict[str, Json]
    digest: str


class AuditLog:
    """Append-only. Without ``path`` it lives in memory alone; without ``key`` it makes one of its own."""

    def __init__(self, path: Path | str | None = None, key: bytes | None = None) -> None:
        self._key = SystemEntropy().draw(32) if key is None else key
        self._path = None if path is None else Path(path)
        self.entries: list[Entry] = []
        if self._path is not None and self._path.exists():
            self.entries = list(verify(self._path, self._key))

    def append(self, event: str, details: Mapping[str, object]) -> Entry:
        body = strict_json.plain_object(
            {"number": len(self.entries), "seconds": time.time(), "event": event, "details": dict(details)}
        )
        digest = _digest(self._key, self.entries[-1].digest if self.entries else _START, body)
        entry = _entry(body, digest)
        if self._path is not None:
            with open(self._path, "ab") as file:
                file.write(strict_json.encode({**body, "digest": digest}) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        self.entries.append(entry)
        return entry


def verify(path: Path | str, key: bytes) -> tuple[Entry, ...]:
    """The entries of a log. Raises KK-T01 at the first that does not follow from those before it."""
    entries: list[Entry] = []
    last = _START
    for number, line in enumerate(read_bounded(path, limit_bytes=_LIMIT_BYTES).splitlines()):
        body = strict_json.decode(line, "KK-T01", f"{path}, line {number + 1}")
        digest = body.pop("digest", None)
        fits = set(body) == {"number", "seconds", "event", "details"} and body["number"] == number
        if not fits or not isinstance(digest, str) or not hmac.compare_digest(digest, _digest(key, last, body)):
            raise KakuriError(
                "KK-T01", "the audit log was changed, or the key is another", where=f"{path}:{number + 1}"
            )
        last = digest
        entries.append(_entry(body, digest))
    return tuple(entries)


def _digest(key: bytes, previous: str, body: dict[str, Json]) -> str:
    return hmac.new(key, previous.encode() + strict_json.encode(strict_json.plain(body)), hashlib.sha256).hexdigest()


def _entry(body: dict[str, Json], digest: str) -> Entry:
    number, seconds, event, details = (body[name] for name in ("number", "seconds", "event", "details"))
    assert isinstance(number, int)
    assert isinstance(seconds, (int, float))
    assert isinstance(event, str)
    assert isinstance(details, dict)
    return Entry(number, float(seconds), event, details, digest)
