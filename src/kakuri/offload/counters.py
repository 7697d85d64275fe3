"""What a session did, counted where it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass
class Counters:
    """blindings, unblindings: of tensors of a batch. weight_blindings: of W (with its velocity and gradient), first one
    and rotations included. moved_elements: of batches, and gradients that came back for themselves; weight_elements: of
    weights; both directions.
    offloaded_flops: of the model's products on untrusted workers (added rows do not count), two for a multiplication
    with its addition.
    *_seconds: time of the master; *_cpu_seconds: its processor time, all threads together. What verification looks at
    while blinding passes is in blinding_seconds, but in verification_cpu_seconds."""

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
    blinding_cpu_seconds: float = 0.0
    verification_cpu_seconds: float = 0.0
    waiting_cpu_seconds: float = 0.0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of the block to ``<name>_seconds`` and ``<name>_cpu_seconds``."""
        start, start_cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._add(f"{name}_seconds", time.perf_counter() - start)
            self._add(f"{name}_cpu_seconds", time.process_time() - start_cpu)

    def rode(self, seconds: float) -> None:
        """Processor time of a look, which was counted as blinding."""
        self.blinding_cpu_seconds -= seconds
        self.verification_cpu_seconds += seconds

    def _add(self, field: str, seconds: float) -> None:
        setattr(self, field, getattr(self, field) + seconds)

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)
