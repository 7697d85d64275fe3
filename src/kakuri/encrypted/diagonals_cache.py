"""Encoded diagonals kept between starts, as files that are mapped and read in place.

Purpose: a server that starts again opens what it encoded before; its steady state only reads, from pages that the
system may drop and that processes share.
Guarantees: a file's name is the hash of everything its content depends on (parameters, level, scale, values); its
content is checked against the hash at its end, and its header against what is wanted, before use; a file that is
missing, damaged or readable by others is made again. Folder 0700, files 0600: diagonals tell the network's weights.
The files of one folder stay below ``limit_bytes``; the longest unused go first.
Does not guarantee: anything against somebody who can write to the folder, or to the file while it is mapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

from kakuri import _ckks
from kakuri.encrypted.program import TransformSpec
from kakuri.errors import KakuriError, KakuriWarning

LIMIT_BYTES = 4 << 30
_VERSION = b"kakuri diagonals 1"
_SUFFIX = ".kkd"


class DiagonalsCache:
    """opened, encoded: transforms so far that came from a file, and that were encoded."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.opened = self.encoded = 0
        self._folder, self._limit_bytes = folder, limit_bytes

    def get(
        self, parameters: _ckks.Parameters, spec: TransformSpec, encode: Callable[[], _ckks.Diagonals]
    ) -> _ckks.Diagonals:
        """The diagonals of ``spec``: mapped from their file, else from ``encode`` and kept for the next start.

        Warns (KakuriWarning) where they cannot be kept; then every start encodes them.
        """
        path = self._folder / (_name(parameters, spec) + _SUFFIX)
        found = _open(parameters, spec, path)
        if found is not None:
            self.opened += 1
            return found
        diagonals = encode()
        self.encoded += 1
        try:
            self._keep(diagonals, path)
        except (OSError, KakuriError) as error:
            warnings.warn(f"encoded diagonals are not kept: {error}", KakuriWarning, stacklevel=2)
        return diagonals

    def _keep(self, diagonals: _ckks.Diagonals, path: Path) -> None:
        if diagonals.nbytes > self._limit_bytes:
            raise OSError(f"{diagonals.nbytes} bytes, and the folder may hold {self._limit_bytes}")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(self._folder.stat()):
            raise OSError(f"{self._folder} belongs to or is open to somebody else (wanted: mode 0700)")
        self._make_room(diagonals.nbytes)
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            diagonals.save(str(part))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, needed_bytes: int) -> None:
        files = sorted((file.stat().st_mtime_ns, file) for file in self._folder.glob(f"*{_SUFFIX}"))
        total = needed_bytes + sum(file.stat().st_size for _, file in files)
        for _, file in files:
            if total <= self._limit_bytes:
                return
            total -= file.stat().st_size
            file.unlink(missing_ok=True)


def _name(parameters: _ckks.Parameters, spec: TransformSpec) -> str:
    """Every field has a fixed length or stands after its length."""
    digest = hashlib.sha256(_VERSION + parameters.digest)
    head = f"{spec.level} {spec.scale.hex()} {spec.inputs} {spec.outputs} {len(spec.entries)};"
    digest.update(head.encode())
    for entry in spec.entries:
        digest.update(f"{entry.output} {entry.giant} {entry.input} {entry.baby} {entry.values.size};".encode())
        digest.update(entry.values.astype("<f8").tobytes())
    return digest.hexdigest()


def _private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _open(parameters: _ckks.Parameters, spec: TransformSpec, path: Path) -> _ckks.Diagonals | None:
    try:
        if not (_private(path.lstat()) and _private(path.parent.stat())):
            return None
        found = _ckks.Diagonals.open(parameters, str(path))
    except (OSError, KakuriError):  # absent or damaged
        return None
    same = (found.level, found.scale, found.inputs, found.outputs, len(found)) == (
        spec.level,
        spec.scale,
        spec.inputs,
        spec.outputs,
        len(spec.entries),
    )
    with contextlib.suppress(OSError):
        os.utime(path)  # used now
    return found if same else None
