"""Recordings of digits: from an archive of any compression and from folders, by name alone."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from kakuri.errors import KakuriError
from kakuri.zoo.data.fsdd import MAX_RECORDING_BYTES, load_fsdd

FILES = {
    "recordings/3_theo_10.wav": b"d",
    "recordings/3_theo_2.wav": b"c",
    "recordings/0_theo_0.wav": b"a",
    "recordings/9_lucas_1.wav": b"e",
    "recordings/notes.txt": b"no",
    "recordings/12_theo_0.wav": b"no",
    "recordings/1_theo_0.wav": bytes(MAX_RECORDING_BYTES + 1),
}


def check(found: dict[str, list[list[bytes]]]) -> None:
    assert list(found) == ["lucas", "theo"]
    assert found["theo"] == [[b"a"], [], [], [b"c", b"d"], [], [], [], [], [], []]  # takes by number, not by letter
    assert found["lucas"][9] == [b"e"]


@pytest.mark.parametrize("compression", ["", "xz", "gz"])
def test_an_archive_is_read_without_unpacking(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"fsdd.tar{'.' if compression else ''}{compression}"
    with tarfile.open(path, f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    check(load_fsdd(tmp_path))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(KakuriError) as caught:
        load_fsdd(tmp_path)
    assert caught.value.code == "KK-D11"


def test_folders_are_read_too(tmp_path: Path) -> None:
    for name, content in FILES.items():
        path = tmp_path / "fsdd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    check(load_fsdd(tmp_path))


def test_without_recordings_the_error_says_where_they_go(tmp_path: Path) -> None:
    with pytest.raises(KakuriError, match="KAKURI_DATA") as caught:
        load_fsdd(tmp_path)
    assert caught.value.code == "KK-D20"
