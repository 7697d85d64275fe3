"""What a benchmark takes and gives."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Report = Callable[[str], None]


def _silent(message: str) -> None:
    """Progress goes nowhere."""


@dataclass(frozen=True)
class Options:
    """threads: for ours and the peer. runs: timed inputs of the peer (ours answers at least these too).

    case: only cases that contain this text. settings: the benchmark's own options, such as ``packing``.
    report: called with a line of progress.
    """

    threads: int = 1
    runs: int = 5
    case: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    report: Report = _silent


@dataclass(frozen=True)
class Row:
    """system: ``kakuri`` or the peer's name. figures: keys with unit suffixes."""

    system: str
    case: str
    figures: Mapping[str, float | int | str]

    def to_dict(self) -> dict[str, Any]:
        return {"system": self.system, "case": self.case, **self.figures}


def machine(threads: int) -> dict[str, Any]:
    """Processor, cores, memory, kernel path and interpreter of this machine."""
    from kakuri import _ckks  # noqa: PLC0415  (only for its name; other benchmarks do without the kernel)

    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": threads,
        "kernel_path": _ckks.kernel_path(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
