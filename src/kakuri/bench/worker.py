"""Workers: measured systems in processes of their own, driven line by line.

Protocol, JSON lines on stdin and stdout: the worker first prints ``{"ready": {...}}`` with what set-up measured; for
each ``{"run": i}`` it answers ``{"seconds": ..., "values": [...]}`` (ours: ``cpu_seconds`` too) for input i;
at end of input it prints ``{"summary": {...}}``. So ours and a peer can take turns, and each has a peak memory of its
own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kakuri.errors import KakuriError


class Worker:
    """One measured process. Use as a context manager."""

    def __init__(self, command: Sequence[str | Path], threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._name = Path(str(command[1])).name
        self._process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.ready = self._read()["ready"]
        return self

    def run(self, index: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": index}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def finish(self) -> dict[str, Any]:
        """Closes the worker's input; its summary."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        summary: dict[str, Any] = self._read()["summary"]
        return summary

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise KakuriError(
                "KK-C22", "a measured process stopped", where=self._name, got=f"exit {self._process.wait()}"
            )
        message: dict[str, Any] = json.loads(line)
        return message

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None and kind is not None:
            self._process.kill()
        self._process.wait()
