"""Reading chosen members of a tar archive, whatever its compression, without unpacking it."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from kakuri.errors import KakuriError


def members(path: Path, wanted: re.Pattern[str], most_bytes: int) -> Iterator[tuple[re.Match[str], bytes]]:
    """(match of the name, content) of every plain file whose name fits and that is not too large. Raises KK-D11."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                named = wanted.search(member.name)
                fits = named and member.isfile() and member.size <= most_bytes
                file = archive.extractfile(member) if fits else None
                if named and file is not None:
                    yield named, file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise KakuriError("KK-D11", "not a readable archive", where=path, got=error) from error
