"""A scan of the running program's memory, again and again: how much of the weights is plain at any moment.

Purpose: what a debugger or a memory dump gets, as the owner of the device.
Method: the program runs; it is stopped at random moments, and everything that is mapped is read through ``/proc``.
The recall is the largest share of the weights that was there at one moment; ``all_moments`` is what all of them
together hold.
Pairs of neighbouring words are compared, since one value may occur in many places of a network.
Guarantees: stops only the process that it started.
Does not guarantee: the peak between the moments; more moments come closer.
Needs: Linux, and the right to read the memory of one's own child.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth, pairs_of, words_of

_MOMENTS, _LARGEST_MAP_BYTES, _SECONDS = 16, 1 << 30, 30.0
Pairs = NDArray[np.uint64]
_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r...) \S+ \S+ \S+ *(.*)")
_PLANTED = """
import array, sys, time
weights = array.array("I")
with open(sys.argv[1], "rb") as file:
    weights.frombytes(file.read())
time.sleep(30)
"""


class MemoryScan(Extraction):
    name = "memory_scan"
    recovers = "weights that are plain in memory at one moment"
    static = False

    def claim(self, artefact: Artefact, random: np.random.Generator) -> list[Pairs]:
        moments: list[Pairs] = []
        until = time.monotonic() + _SECONDS
        while len(moments) < _MOMENTS and time.monotonic() < until:
            process = subprocess.Popen(
                artefact.command, cwd=artefact.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                while len(moments) < _MOMENTS and time.monotonic() < until and process.poll() is None:
                    time.sleep(float(random.uniform(0.005, 0.05)))
                    moments += _stopped(process)
            finally:
                process.kill()
                process.wait()
        return moments

    def score(self, claim: list[Pairs], truth: Truth) -> tuple[float, dict[str, Detail]]:
        wanted = pairs_of(truth.words)
        hits = [np.isin(wanted, words) for words in claim] or [np.zeros(max(1, len(wanted)), bool)]
        shares = [float(hit.mean()) for hit in hits]
        details: dict[str, Detail] = {
            "moments": len(claim),
            "first_moment": round(shares[0], 4),
            "median": round(float(np.median(shares)), 4),
            "all_moments": round(float(np.logical_or.reduce(hits).mean()), 4),
            "peak_plain_bytes": round(8 * max(shares) * len(wanted)),
        }
        return max(shares), details

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        weights = random.standard_normal(1 << 15).astype("<f4")
        folder = tempfile.TemporaryDirectory()
        (Path(folder.name) / "weights").write_bytes(weights.tobytes())
        command = (sys.executable, "-c", _PLANTED, "weights")
        return Artefact("planted process", {}, command, Path(folder.name), folder), Truth(weights.view("<u4"))


def _stopped(process: subprocess.Popen[bytes]) -> list[Pairs]:
    """What is in the memory of the process, which stands still meanwhile; none when it has ended."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            return [_pairs(process.pid)] if os.WIFSTOPPED(status) else []
        except (OSError, ValueError):
            return []
        finally:
            process.send_signal(signal.SIGCONT)
    return []


def _pairs(pid: int) -> Pairs:
    """All telling pairs of words in what is mapped and readable, but for the system's own libraries."""
    found = [pairs_of(words_of(b""))]
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None or match[4].startswith(("/usr/lib", "/lib", "[v")):
                continue
            start, size = int(match[1], 16), int(match[2], 16) - int(match[1], 16)
            with contextlib.suppress(OSError, OverflowError):
                memory.seek(start)
                found.append(pairs_of(words_of(memory.read(min(size, _LARGEST_MAP_BYTES)))))
    return np.concatenate(found)
