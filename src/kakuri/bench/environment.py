"""The peers' environment, ``.venv-bench``: made at the first benchmark, apart from the product's own.

Purpose: peers pin old packages; they never touch ``.venv``.
Guarantees: nothing is installed twice; a half-made environment is made again.
Does not guarantee: that a peer installs on this platform; then KK-C21 says which and why.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
import venv
from pathlib import Path

from kakuri.bench.rows import Report
from kakuri.errors import KakuriError

#: Installed without what they ask for: the ``bench`` extra holds what they need to run. orion-fhe also wants
#: torchvision, which pins another torch and which Orion uses for its own data sets only.
WITHOUT_DEPENDENCIES = ("orion-fhe==1.0.2",)


def peer_python(folder: Path, report: Report) -> Path:
    """Interpreter of ``folder`` with the ``bench`` extra installed."""
    wanted = _requirements()
    stamp = folder / ".kakuri-bench"
    python = folder / "bin" / "python"
    digest = hashlib.sha256("\n".join((*wanted, *WITHOUT_DEPENDENCIES)).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return python
    report(f"making {folder} with {', '.join((*wanted, *WITHOUT_DEPENDENCIES))}")
    venv.create(folder, with_pip=True, clear=True)
    _install(python, folder, wanted)
    _install(python, folder, ["--no-deps", *WITHOUT_DEPENDENCIES])
    stamp.write_text(digest, encoding="utf-8")
    return python


def _install(python: Path, folder: Path, arguments: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KakuriError(
            "KK-C21",
            "the peers could not be installed",
            where=str(folder),
            got=(done.stderr.strip().splitlines() or ["no message"])[-1],
            hint=f"try it by hand: {' '.join(command)}",
        )


def _requirements() -> list[str]:
    """The ``bench`` extra, as installed with this package."""
    marked = [
        r for r in importlib.metadata.requires("kakuri") or [] if "extra == 'bench'" in r or 'extra == "bench"' in r
    ]
    if not marked:
        raise KakuriError(
            "KK-C21",
            "the package metadata names no peers",
            hint="install kakuri with pip instead of a bare source path",
        )
    return [r.split(";")[0].strip() for r in marked]


def default_folder() -> Path:
    """Beside the product's environment when there is one, else in the current folder."""
    prefix = Path(sys.prefix)
    return (prefix.parent if prefix != Path(sys.base_prefix) else Path.cwd()) / ".venv-bench"
