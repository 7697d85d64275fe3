"""Sessions of an unprivileged user, in processes of their own: ``nobody`` when the tests run as root."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.unit.enclave.conftest import Made
from tests.unit.enclave.privileges import NOBODY

ROOT = os.geteuid() == 0


@contextlib.contextmanager
def folder_of_nobody(made: Made) -> Iterator[Path]:
    """A copy of the package and the device's key that the unprivileged user may read."""
    folder = Path(tempfile.mkdtemp())
    try:
        for name in ("lenet.kkr", "device.kkey"):
            shutil.copy(made.folder / name, folder)
            if ROOT:
                os.chown(folder / name, NOBODY, NOBODY)
        if ROOT:
            os.chown(folder, NOBODY, NOBODY)
        os.chmod(folder / "device.kkey", 0o600)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def session_of_nobody(made: Made, folder: Path, *wishes: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Process id of the session's holder, and what it found; see ``victim.py``."""
    program = Path(__file__).with_name("victim.py")
    command = [sys.executable, str(program), str(folder), made.signer.public.point.hex(), *wishes]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.pid, json.loads(process.stdout.readline())
        process.stdin.close()
