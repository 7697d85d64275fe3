"""What a Trusted Application takes of the TEE's memory, measured on its compiled objects.

Purpose: ``measure`` compiles the sources for the target and reads stack frames and sizes from the compiler.
Guarantees: a frame whose size is not known when compiling (a variable-length array, alloca) is refused.
Does not guarantee: the stack that OP-TEE's own library takes below ours; ``LIBRARY_STACK_BYTES`` is set aside for it.
Errors: KK-G20 no compiler, KK-G21 the compiler refuses, KK-W31 a frame of unknown size.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kakuri.errors import KakuriError

LIBRARY_STACK_BYTES = 4096
DEPTH = 6
"""Calls below an entry point that are on the stack together: command, inference, network, step, kernel, tile."""
_PAGE = 4096
_SECONDS = 600


@dataclass(frozen=True)
class Footprint:
    """code_bytes: objects with constants and static memory. stack_bytes: in whole pages, as TA_STACK_SIZE wants it."""

    code_bytes: int
    stack_bytes: int


def measure(
    compiler: str, files: Mapping[str, bytes], units: Mapping[str, Sequence[str]], headers: Mapping[str, bytes]
) -> Footprint:
    """units: source -> flags. headers: declarations to compile against, by name."""
    compiler = os.environ.get("KAKURI_TA_CC", compiler)
    if shutil.which(compiler) is None:
        raise KakuriError("KK-G20", "no such compiler", got=compiler, hint="install it, or set KAKURI_TA_CC")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in {**files, **headers}.items():
            (folder / file).write_bytes(data)
        frames: list[int] = []
        size_bytes = 0
        for unit, flags in units.items():
            _compile([compiler, *flags, "-fstack-usage", "-I.", "-c", unit, "-o", f"{unit}.o"], folder)
            frames += _frames(folder / f"{unit}.su")
            size_bytes += _loaded_bytes(folder / f"{unit}.o")
    deepest = sum(sorted(frames)[-DEPTH:]) + LIBRARY_STACK_BYTES
    return Footprint(size_bytes, -(-deepest // _PAGE) * _PAGE)


def _compile(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [""]
        raise KakuriError(
            "KK-G21", "the compiler refuses the Trusted Application", where=command[0], got=lines[0][:200]
        )


def _frames(listing: Path) -> list[int]:
    """Bytes of every function's frame."""
    found = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        function, size, kind = line.rsplit("\t", 2)
        if kind not in {"static", "dynamic,bounded"}:  # bounded: aligned when entered
            raise KakuriError("KK-W31", "a stack frame has no fixed size", where=function, got=kind)
        found.append(int(size))
    return found


def _loaded_bytes(path: Path) -> int:
    """Sizes of an ELF64 object's sections that are loaded (flag ALLOC)."""
    data = path.read_bytes()
    start, width, count = (
        int.from_bytes(data[at : at + size], "little") for at, size in ((0x28, 8), (0x3A, 2), (0x3C, 2))
    )
    total = 0
    for section in range(count):
        at = start + section * width
        flags = int.from_bytes(data[at + 8 : at + 16], "little")
        total += int.from_bytes(data[at + 32 : at + 40], "little") if flags & 2 else 0
    return total
