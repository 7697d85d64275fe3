"""Where workers are, as one line of text.

``local``, ``local:K``: processes of this machine. ``tls://HOST:PORT``, several with commas: other machines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kakuri.errors import KakuriError
from kakuri.offload.transport.address import Address

_MOST_REMOTE = 999


@dataclass(frozen=True)
class Workers:
    """local: processes of this machine. remote: addresses; one of both is empty."""

    local: int = 0
    remote: tuple[Address, ...] = ()

    @property
    def count(self) -> int:
        return self.local or len(self.remote)


def described(workers: str) -> Workers:
    """Raises KK-O03."""
    matched = re.fullmatch(r"local(?::([1-9][0-9]{0,2}))?", workers)
    if matched:
        return Workers(local=int(matched[1] or 1))
    parts = workers.split(",")
    found = [Address.parse(part) if part.startswith("tls://") else None for part in parts]
    remote = tuple(address for address in found if address is not None)
    if len(remote) < len(parts) or len(set(remote)) < len(parts) or len(remote) > _MOST_REMOTE:
        limit = "local, local:K, or different tls://HOST:PORT with commas; up to 999"
        raise KakuriError("KK-O03", "not a description of workers", got=repr(workers)[:80], limit=limit)
    return Workers(remote=remote)
