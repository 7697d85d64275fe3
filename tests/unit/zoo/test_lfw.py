"""Photos of faces: archive and folder give the same, only photos are read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from kakuri.errors import KakuriError
from kakuri.zoo.data.lfw import MAX_PHOTO_BYTES, load_lfw

PHOTOS = {"B_Two": [b"b1", b"b2"], "A_One": [b"a1"]}


def entries() -> dict[str, bytes]:
    named = {f"lfw/{who}/{who}_{n:04}.jpg": c for who, photos in PHOTOS.items() for n, c in enumerate(photos, 1)}
    others = {"lfw/A_One/notes.txt": b"n", "lfw/A_One/B_Two_0009.jpg": b"x", "lfw/A_One/A_One_12.jpg": b"x"}
    return {**others, **named, "lfw/A_One/A_One_0002.jpg": bytes(MAX_PHOTO_BYTES + 1)}


def archive(path: Path) -> None:
    with tarfile.open(path, "w:gz") as file:
        for name, content in reversed(entries().items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("below", ["", "lfw"])
@pytest.mark.parametrize("packed", [True, False])
def test_only_photos_by_person_in_order(tmp_path: Path, packed: bool, below: str) -> None:
    place = tmp_path / below
    place.mkdir(exist_ok=True)
    if packed:
        archive(place / "lfw-deepfunneled.tgz")
    else:
        for name, content in entries().items():
            path = place / name.removeprefix("lfw/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    found = load_lfw(tmp_path)
    assert found == {"A_One": [b"a1"], "B_Two": [b"b1", b"b2"]}
    assert list(found) == ["A_One", "B_Two"]


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with tarfile.open(tmp_path / "lfw.tar", "w") as file:
        link = tarfile.TarInfo("lfw/A_One/A_One_0001.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "../../secret"
        file.addfile(link)
    with pytest.raises(KakuriError, match="KK-D20"):
        load_lfw(tmp_path)


def test_what_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(KakuriError, match="KK-D20"):
        load_lfw(tmp_path)
    archive(tmp_path / "lfw.tgz")
    content = (tmp_path / "lfw.tgz").read_bytes()
    (tmp_path / "lfw.tgz").write_bytes(content[: len(content) // 2])
    with pytest.raises(KakuriError, match="KK-D11"):
        load_lfw(tmp_path)
