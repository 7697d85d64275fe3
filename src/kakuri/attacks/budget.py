"""What an attack may spend."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kakuri.errors import KakuriError


@dataclass(frozen=True)
class Budget:
    """seconds: per attack and view. samples: recorded messages used. memory_bytes: for the attack's own arrays."""

    seconds: float = 120.0
    samples: int = 2000
    memory_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.samples >= 1 and self.memory_bytes >= 1 << 20):
            raise KakuriError(
                "KK-A02", "not a budget", got=self, limit="seconds > 0, samples >= 1, memory_bytes >= 1 MiB"
            )

    def to_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds, "samples": self.samples, "memory_bytes": self.memory_bytes}


@dataclass
class Spending:
    """The clock of one run. Attacks ask between candidate models and keep the best so far when time is up."""

    budget: Budget
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    stopped_early: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def spent_seconds(self) -> float:
        return self.clock() - self.started

    def out_of_time(self) -> bool:
        if self.spent_seconds > self.budget.seconds:
            self.stopped_early = True
        return self.stopped_early
