"""One training under protection: keys, places, counters, incidents and the limit at which it stops.

Purpose: what all layers share.
Guarantees: every incident is in the audit log before the work goes on; a worker that failed once is asked no longer;
after ``fail_limit`` incidents, or when the user closes the session, the keys are destroyed and every further product
is refused.
Does not guarantee: that Python's memory holds no further copy of a key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kakuri.errors import KakuriError
from kakuri.offload.counters import Counters
from kakuri.offload.masks import MaskKey, MaskStream
from kakuri.offload.places import Place, Pool
from kakuri.offload.tiers import Scheme
from kakuri.trust import SystemEntropy
from kakuri.trust.audit_log import AuditLog


@dataclass(frozen=True)
class Settings:
    """journal_bytes: of all layers together; 0 keeps none, and lost weights end the training. fail_limit: incidents."""

    tier: Scheme
    journal_bytes: int = 1 << 30
    fail_limit: int = 8
    clipping: bool = False
    key_shift: bool = True


class Journalled(Protocol):
    """A layer as the session sees it."""

    @property
    def name(self) -> str: ...
    @property
    def journal_bytes(self) -> int: ...
    def rotate(self) -> None: ...
    def snapshot(self) -> None: ...
    def drop(self) -> None: ...


class Session:
    """Use ``close`` (or the model's) when the training is over."""

    def __init__(self, settings: Settings, pool: Pool, *, owns_pool: bool, log: AuditLog) -> None:
        self.settings = settings
        self.pool = pool
        self.counters = Counters()
        self.log = log
        self.layers: list[Journalled] = []
        self._owns_pool = owns_pool
        self._key = MaskKey(SystemEntropy())
        self._closed = ""
        log.append("session", {"tier": settings.tier.name, "workers": len(pool.places)})

    def stream(self, *path: str | int) -> MaskStream:
        return self._key.stream(*path)

    def require_open(self) -> None:
        """Raises KK-O33 after the session was closed or stopped itself."""
        if self._closed:
            raise KakuriError("KK-O33", "the session is closed", got=self._closed, hint="resume from a checkpoint")

    def place_for(self, number: int) -> Place:
        return self.pool.choose(number)

    def incident(self, place: Place, layer: str, what: str, reason: str) -> None:
        """Logs and quarantines. Raises KK-O34 when there were too many, KK-O36 for the master itself."""
        self.counters.incidents += 1
        place.quarantined = True
        self.log.append("incident", {"worker": place.name, "layer": layer, "during": what, "reason": reason})
        if place.trusted:
            self.close("the master failed")
            raise KakuriError("KK-O36", "the master's own product does not pass its check", where=layer, got=reason)
        if self.counters.incidents > self.settings.fail_limit:
            self.close("too many incidents")
            raise KakuriError(
                "KK-O34",
                "workers failed too often; keys are destroyed",
                got=self.counters.incidents,
                limit=self.settings.fail_limit,
                hint="look at the audit log, change the workers, and resume from a checkpoint",
            )

    def note(self, event: str, details: Mapping[str, object]) -> None:
        self.log.append(event, details)

    def rotate(self) -> None:
        """New Q and R for every layer, through the master."""
        self.require_open()
        for layer in self.layers:
            layer.rotate()
        self.counters.rotations += 1
        self.log.append("rotation", {"layers": len(self.layers)})

    def bound_journals(self) -> None:
        """Snapshots of the fullest layers until all journals fit."""
        while sum(layer.journal_bytes for layer in self.layers) > self.settings.journal_bytes:
            max(self.layers, key=lambda layer: layer.journal_bytes).snapshot()

    def close(self, reason: str = "closed by its owner") -> None:
        """Destroys the keys and ends the workers that this session started. May be called twice."""
        if self._closed:
            return
        self._closed = reason
        self._key.destroy()
        self.log.append("closed", {"reason": reason})
        if self._owns_pool:
            self.pool.close()
        else:
            for layer in self.layers:
                with contextlib.suppress(KakuriError):  # a worker that is gone holds nothing any more
                    layer.drop()
