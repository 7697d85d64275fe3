"""The test program of a generated project, run as users run it: it times itself and prints a line per run."""

from __future__ import annotations

import subprocess

from kakuri.errors import KakuriError

_LIMIT_SECONDS = 600


def timed_runs(command: list[str]) -> list[tuple[float, float]]:
    """(elapsed, processor) seconds of every run. Raises KK-C22 when the program fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS)
    if done.returncode:
        raise KakuriError("KK-C22", "a measured process stopped", where=command[0], got=f"exit {done.returncode}")
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(float(elapsed), float(busy)) for elapsed, busy in lines]
