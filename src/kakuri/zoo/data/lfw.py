"""Labeled Faces in the Wild: photos by person.

Purpose: `load_lfw` from a tar archive or an unpacked folder whose folders are people.
Guarantees: only files named ``Some_One/Some_One_0001.jpg`` are read, at most `MAX_PHOTO_BYTES` each; people and photos
come in the order of their names; nothing is unpacked to disk.
Does not guarantee: that a photo shows one face, or that no photo is there twice.
Source: Huang et al., UMass TR 07-49 (2007); deep funneling: Huang et al., NIPS 2012. No formal licence; research use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.zoo.data.folders import candidates
from kakuri.zoo.data.tar_members import members

MAX_PHOTO_BYTES = 1 << 20
_PHOTO = re.compile(r"(?:^|/)(?P<person>[^/]+)/(?P=person)_[0-9]{4}\.jpg$")
_ARCHIVES = ("lfw*.tar", "lfw*.tgz", "lfw*.tar.gz")


def load_lfw(folder: Path | str | None = None) -> dict[str, list[bytes]]:
    """JPEG bytes of every person's photos.

    folder: where an archive ``lfw*.tar``, ``lfw*.tgz`` or the people's folders lie, directly or in its ``lfw/``.
    Without it, ``KAKURI_DATA`` and then the cache are searched. Raises KK-D20 when nothing is found, KK-D11 for an
    archive that cannot be read.
    """
    places = candidates("lfw", folder)
    for place in places:
        archives = sorted(path for pattern in _ARCHIVES for path in place.glob(pattern))
        found = _sorted(_archived(archives[0]) if archives else _unpacked(place))
        if found:
            return found
    hint = "unpack the archive of deep-funneled images there, or set KAKURI_DATA to the folder above lfw/"
    raise KakuriError("KK-D20", "no photos of faces", where=", ".join(map(str, places)), hint=hint)


def _sorted(photos: Iterator[tuple[str, str, bytes]]) -> dict[str, list[bytes]]:
    people: dict[str, list[bytes]] = {}
    for person, _, content in sorted(photos):
        people.setdefault(person, []).append(content)
    return people


def _archived(path: Path) -> Iterator[tuple[str, str, bytes]]:
    for named, content in members(path, _PHOTO, MAX_PHOTO_BYTES):
        yield named["person"], named.string, content


def _unpacked(place: Path) -> Iterator[tuple[str, str, bytes]]:
    for path in place.glob("*/*.jpg"):
        named = _PHOTO.search(path.as_posix())
        if named and path.stat().st_size <= MAX_PHOTO_BYTES:
            yield named["person"], path.name, path.read_bytes()
