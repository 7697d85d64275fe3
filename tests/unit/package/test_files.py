"""kakuri.files: a file is whole or absent."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kakuri.errors import KakuriError
from kakuri.files import atomic_write, open_regular, read_bounded


def _only(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_the_name_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with atomic_write(target) as file:
        file.write(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert _only(tmp_path) == ["a"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def fail_half_way() -> None:
        with atomic_write(target) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert target.read_bytes() == b"old"
    assert _only(tmp_path) == ["a"]


def test_without_overwrite_a_name_taken_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a"

    def lose_the_race() -> None:
        with atomic_write(target, overwrite=False) as file:
            file.write(b"ours")
            target.write_bytes(b"theirs")  # another process was faster

    with pytest.raises(KakuriError) as caught:
        lose_the_race()
    assert caught.value.code == "KK-F11"
    assert target.read_bytes() == b"theirs"
    assert _only(tmp_path) == ["a"]


def test_a_given_mode_is_exact_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0o000, 0o077, 0o177):
        old = os.umask(mask)
        try:
            with atomic_write(tmp_path / f"m{mask}", mode=0o600) as file:
                during = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            with atomic_write(tmp_path / f"d{mask}"):
                pass
        finally:
            os.umask(old)
        assert during == 0o600
        assert stat.S_IMODE((tmp_path / f"m{mask}").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / f"d{mask}").stat().st_mode) == 0o666 & ~mask


def test_a_missing_folder_is_a_typed_refusal(tmp_path: Path) -> None:
    with pytest.raises(KakuriError) as caught, atomic_write(tmp_path / "no" / "a"):
        pass
    assert caught.value.code == "KK-F10"


def test_pipes_folders_and_missing_files_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", "a\0b"):
        with pytest.raises(KakuriError) as caught, open_regular(path):
            pass
        assert caught.value.code == "KK-F12"


def test_read_bounded_stops_at_its_limit(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"12345")
    assert read_bounded(target, limit_bytes=5) == b"12345"
    with pytest.raises(KakuriError) as caught:
        read_bounded(target, limit_bytes=4)
    assert (caught.value.code, caught.value.problem.got, caught.value.problem.limit) == ("KK-F13", "5 bytes", "4 bytes")
