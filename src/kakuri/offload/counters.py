"""What a session did, counted where it happens."""

from __future__ import annotations

import time
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

    def timed(self, name: str) -> Timed:
        """Adds the time of the block to ``<name>_seconds`` and ``<name>_cpu_seconds``."""
        return Timed(self, name)

    def rode(self, seconds: float) -> None:
        """Processor time of a look, which was counted as blinding."""
        self.blinding_cpu_seconds -= seconds
        self.verification_cpu_seconds += seconds

    def add(self, name: str, seconds: float, cpu_seconds: float) -> None:
        """To ``<name>_seconds`` and ``<name>_cpu_seconds``."""
        for field, more in ((f"{name}_seconds", seconds), (f"{name}_cpu_seconds", cpu_seconds)):
            setattr(self, field, getattr(self, field) + more)

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)


class Timed:
    """A block whose time is counted; there are some two hundred of them in a step."""

    __slots__ = ("_counters", "_name", "_start", "_start_cpu")

    def __init__(self, counters: Counters, name: str) -> None:
        self._counters = counters
        self._name = name

    def __enter__(self) -> None:
        self._start, self._start_cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._counters.add(self._name, time.perf_counter() - self._start, time.process_time() - self._start_cpu)
