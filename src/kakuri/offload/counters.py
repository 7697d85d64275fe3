"""What a session did, counted where it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass
class Counters:
    """blindings, unblindings: of tensors of a batch. weight_blindings: of W (with its velocity and gradient), first one
    and rotations included. moved_elements: of batches; weight_elements: of weights; both directions.
    offloaded_flops: of the model's products on untrusted workers (added rows do not count), two for a multiplication
    with its addition.
    *_seconds: time of the master."""

    blindings: int = 0
    unblindings: int = 0
    weight_blindings: int = 0
    moved_elements: int = 0
    weight_elements: int = 0
    offloaded_flops: int = 0
    checks: int = 0
    incidents: int = 0
    rotations: int = 0
    blinding_seconds: float = 0.0
    verification_seconds: float = 0.0
    waiting_seconds: float = 0.0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of the block to ``<name>_seconds``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            field = f"{name}_seconds"
            setattr(self, field, getattr(self, field) + time.perf_counter() - start)

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)
