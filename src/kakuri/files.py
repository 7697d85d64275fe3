"""Files that are either whole or absent.

Purpose: write a file so that a reader, a crash or a full disk never sees half of it, and read one within a bound.
Guarantees: the bytes go to a new file of its own (O_EXCL, final mode from the start) in the same folder, are flushed to
the disk, and only then take the name; on any failure the folder is as before. Without ``overwrite`` an existing name is
never replaced, not even in a race. ``read_bounded`` opens regular files only and never allocates above its limit.
Does not guarantee: anything against somebody who may write to the same folder.
Errors: KK-F10 cannot write, KK-F11 exists already, KK-F12 cannot read, KK-F13 too large.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kakuri.errors import KakuriError

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


@contextlib.contextmanager
def atomic_write(path: Path | str, *, mode: int | None = None, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A seekable binary file that becomes ``path`` when the block ends without an exception.

    A given ``mode`` is exact: the process's umask neither adds nor removes a bit; without one the umask decides.
    Raises KK-F10 when the folder cannot be written and KK-F11 when ``path`` exists and ``overwrite`` is false.
    """
    target = Path(path)
    if not overwrite and os.path.lexists(target):
        raise _exists(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o666 if mode is None else mode & 0o600)
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        try:
            with os.fdopen(descriptor, "w+b") as file:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
            _take_name(temporary, target, overwrite)
            _sync_folder(target.parent)
        except OSError as error:
            raise _cannot_write(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def read_bounded(path: Path | str, *, limit_bytes: int) -> bytes:
    """All bytes of a regular file. Raises KK-F12 when it cannot be read and KK-F13 above ``limit_bytes``."""
    with open_regular(path) as file:
        return _read_all(file, Path(path), limit_bytes)


@contextlib.contextmanager
def open_regular(path: Path | str) -> Iterator[BinaryIO]:
    """``path`` opened for reading, unbuffered; folders, pipes and devices are refused with KK-F12 without blocking."""
    file = open_regular_file(path)
    try:
        yield file
    finally:
        file.close()


def open_regular_file(path: Path | str) -> BinaryIO:
    """As ``open_regular``, for callers that keep the file open and close it themselves."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise KakuriError("KK-F12", "not a regular file", where=path, hint="give the path of a file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _read_all(file: BinaryIO, path: Path, limit_bytes: int) -> bytes:
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > limit_bytes:
        raise KakuriError(
            "KK-F13", "file is too large", where=path, got=f"{size_bytes} bytes", limit=f"{limit_bytes} bytes"
        )
    parts: list[bytes] = []
    wanted = size_bytes
    try:
        while wanted and (part := file.read(wanted)):
            parts.append(part)
            wanted -= len(part)
    except OSError as error:
        raise _cannot_read(path, error) from error
    return b"".join(parts)


def _take_name(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)  # fails when the name exists: no moment in which it could be replaced
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # claims the name
        os.replace(temporary, target)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some filesystems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def _exists(target: Path) -> KakuriError:
    return KakuriError(
        "KK-F11",
        "file exists and is not replaced",
        where=target,
        hint="choose another name, or allow overwriting (overwrite=True; --force on the command line)",
    )


def _cannot_write(target: Path, error: OSError) -> KakuriError:
    return KakuriError("KK-F10", f"cannot write: {os.strerror(error.errno or 0)}", where=target)


def _cannot_read(path: Path | str, error: Exception) -> KakuriError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return KakuriError("KK-F12", f"cannot read: {reason}", where=path)
