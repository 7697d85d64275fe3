"""What a confined process may do.

Purpose: ``Policy``, a frozen value that can be printed, compared and sent to the process that will obey it.
Guarantees: a policy says everything; there is no other way to give a confined process a right.
Does not guarantee: that this machine can enforce it; ``confine`` refuses where it cannot.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from kakuri import strict_json
from kakuri.errors import KakuriError


@dataclass(frozen=True)
class Policy:
    """read: files and folders that may be read. write: the one folder that may be written, or None.

    programs: files that may be executed; empty means no new process at all. memory_bytes: private writable memory
    (RLIMIT_DATA). cpu_seconds: processor time until the kernel stops the process. file_bytes: largest file it may
    write. open_files: descriptors. landlock_version: the oldest Landlock ABI that will do; 3 is the first that covers
    truncation.
    """

    read: tuple[str, ...] = ()
    write: str | None = None
    programs: tuple[str, ...] = ()
    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    file_bytes: int = 1 << 30
    open_files: int = 256
    landlock_version: int = 3

    def to_json(self) -> str:
        return strict_json.encode(strict_json.plain(asdict(self))).decode()

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Raises KK-S01 for anything but what ``to_json`` gives."""
        fields = strict_json.decode(text.encode("ascii", "replace"), "KK-S01", "policy")
        try:
            made = cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()})  # type: ignore[arg-type]
            if made.to_json() == text:
                return made
        except (TypeError, KakuriError):
            pass
        raise KakuriError("KK-S01", "not a sandbox policy", got=text[:80])


def python_runtime() -> tuple[str, ...]:
    """What a Python process reads to run: interpreter, libraries, this package, and facts about the processor."""
    package = Path(__file__).resolve().parents[2]
    wanted = {
        *(str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)),
        str(package),
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/proc/self",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/sys/devices/system/cpu",
        "/sys/devices/system/node",
        "/dev/null",
        "/dev/urandom",
    }
    return tuple(sorted(path for path in wanted if os.path.exists(path)))
