"""The official binary archive of CIFAR-10.

Purpose: ``cifar-10-binary.tar.gz`` to arrays, read as a stream.
Guarantees: only the six expected members are read, each of exactly 30,730,000 bytes; reading stops after a fixed number
of members and unpacked bytes; nothing is extracted to disk.
Does not guarantee: the published content of an archive that was not downloaded here.
Source: the format on the CIFAR-10 page: records of one label byte and 3,072 pixel bytes, red, green, blue planes.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError

_RECORD_BYTES = 1 + 3 * 32 * 32
_BATCH_BYTES = 10_000 * _RECORD_BYTES
_MEMBERS = tuple(
    f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
)
_MEMBER_LIMIT = 32
_OTHER_LIMIT_BYTES = 1_000_000


def read_archive(
    file: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """(train images, train labels, test images, test labels). Raises KK-D11 for anything but the expected archive."""
    try:
        batches = _batches(file)
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise _bad(file, "not a readable .tar.gz archive", got=str(error)) from error
    missing = [name for name in _MEMBERS if name not in batches]
    if missing:
        raise _bad(file, "archive lacks members", got=f"without {', '.join(missing)}", limit=f"{len(_MEMBERS)} members")
    records = [np.frombuffer(batches[name], np.uint8).reshape(-1, _RECORD_BYTES) for name in _MEMBERS]
    train, test = np.concatenate(records[:5]), records[5]
    return _images(train), _labels(train), _images(test), _labels(test)


def _batches(file: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(file, "r|gz") as archive:
        for count, member in enumerate(archive, start=1):
            if count > _MEMBER_LIMIT:
                raise _bad(file, "archive has too many members", got=f"over {_MEMBER_LIMIT}", limit=str(_MEMBER_LIMIT))
            expected = member.name in _MEMBERS and member.isreg()
            limit_bytes = _BATCH_BYTES if expected else _OTHER_LIMIT_BYTES
            if member.size > limit_bytes or (expected and member.size != _BATCH_BYTES):
                raise _bad(file, f"member {member.name!r} has another size", f"{member.size}", f"{limit_bytes} bytes")
            stream = archive.extractfile(member) if expected else None
            if stream is not None:
                found[member.name] = stream.read(_BATCH_BYTES)
    short = [name for name, content in found.items() if len(content) != _BATCH_BYTES]
    if short:
        raise _bad(file, "archive is cut short", got=f"in {short[0]}", limit=f"{_BATCH_BYTES} bytes")
    return found


def _images(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32)


def _labels(records: NDArray[np.uint8]) -> NDArray[np.int64]:
    return records[:, 0].astype(np.int64)


def _bad(file: Path, what: str, got: str = "", limit: str = "") -> KakuriError:
    return KakuriError("KK-D11", what, where=file, got=got, limit=limit, hint="fetch cifar-10-binary.tar.gz again")
