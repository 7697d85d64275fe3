"""Where a data set's files are.

Purpose: `find`: the folder given, else ``KAKURI_DATA``, else the cache, else a download into the cache.
Guarantees: a folder that was given is the only place looked at; the error names every place and both remedies.
Does not guarantee: anything about the files' content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.zoo.data.fetch import Observer, RemoteFile, fetch


def data_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """``KAKURI_DATA``, or None."""
    value = environment.get("KAKURI_DATA")
    return Path(value) if value else None


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """``KAKURI_CACHE``, else ``kakuri`` in the user's cache folder."""
    if value := environment.get("KAKURI_CACHE"):
        return Path(value)
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kakuri"


def candidates(name: str, folder: Path | str | None) -> list[Path]:
    """Folders to search for the data set ``name``, in order."""
    if folder is not None:
        return [Path(folder), Path(folder) / name]
    root = data_folder()
    return [*([root / name, root] if root else []), cache_folder() / name]


def find(
    name: str,
    files: Sequence[RemoteFile],
    folder: Path | str | None,
    *,
    alternatives: Callable[[str], tuple[str, ...]] = lambda name: (name,),
    download: bool,
    observe: Observer | None,
) -> list[Path]:
    """One path per file, all from one folder.

    alternatives: names under which a file may lie there. Raises KK-D20 when a folder was given or downloads are
    forbidden and no place has all files; KK-D20 with the addresses' problems when the download fails.
    """
    for place in candidates(name, folder):
        found = [_existing(place, alternatives(file.name)) for file in files]
        complete = [path for path in found if path is not None]
        if len(complete) == len(files):
            return complete
    if folder is not None or not download:
        raise not_found(name, files, folder)
    place = cache_folder() / name
    try:
        return [_existing(place, (file.name,)) or fetch(file, place, observe) for file in files]
    except KakuriError as error:
        raise KakuriError.collect([*not_found(name, files, folder).problems, *error.problems]) from error


def not_found(name: str, files: Sequence[RemoteFile], folder: Path | str | None) -> KakuriError:
    """KK-D20 naming both ways: bring the files, or let them be downloaded."""
    names = ", ".join(file.name for file in files)
    return KakuriError(
        "KK-D20",
        f"no {name} data found",
        where=", ".join(str(place) for place in candidates(name, folder)),
        limit=names,
        hint=f"put {names} into a folder and pass it or set KAKURI_DATA to the folder above {name}/; "
        f"or allow the download of {sum(file.size_bytes for file in files) / 1e6:.0f} MB by giving no folder",
    )


def _existing(place: Path, names: tuple[str, ...]) -> Path | None:
    return next((place / name for name in names if (place / name).is_file()), None)
