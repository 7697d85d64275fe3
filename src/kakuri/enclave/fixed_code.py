"""The parts of an enclave program that do not depend on the network, and the digest over all of its code.

Purpose: shared by the worker of the process backend and the Trusted Application.
Guarantees: the digest depends on names and contents only; weights are no code.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Iterable, Mapping

Files = Mapping[str, bytes]
LAYOUT = "sealed_index.h"


def packaged(folder: str, names: Iterable[str]) -> dict[str, bytes]:
    """Name -> content of files that lie in a folder of this room."""
    place = importlib.resources.files("kakuri.enclave") / folder
    return {name: (place / name).read_bytes() for name in names}


def layout_header() -> dict[str, bytes]:
    """The header that every program includes which opens a sealed package."""
    return packaged("common", [LAYOUT])


def generated_sources(files: Files) -> dict[str, bytes]:
    """The generated code without its test program and without the weights."""
    return {name: data for name, data in files.items() if name.endswith((".c", ".h")) and name != "main.c"}


def digest_of(code: Files) -> bytes:
    """SHA-256 over names and contents: what an enclave program compares the index with."""
    lines = "".join(f"{name} {hashlib.sha256(code[name]).hexdigest()}\n" for name in sorted(code))
    return hashlib.sha256(lines.encode()).digest()
