"""The user's data, which tells the session where an epoch begins.

Purpose: keys rotate at epoch boundaries without a line in the training loop.
Guarantees: yields exactly what the data yields, in its order; nothing of it reaches a worker from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kakuri.errors import KakuriError
from kakuri.offload.session import Session


class OffloadData:
    """Iterate as over the data itself; ``len`` and attributes are the data's."""

    def __init__(self, session: Session, data: Iterable[Any] | None, rotate_every: int) -> None:
        self._session = session
        self._data = data
        self._rotate_every = rotate_every
        self.epochs = 0

    def __iter__(self) -> Iterator[Any]:
        if self._data is None:
            raise KakuriError("KK-O09", "the plan was built without data", hint="pass data to build, or call rotate()")
        if self._rotate_every and self.epochs and self.epochs % self._rotate_every == 0:
            self._session.rotate()
        self.epochs += 1
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)
