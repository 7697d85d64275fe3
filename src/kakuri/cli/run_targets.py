"""Where the results of ``kakuri run`` go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.files import atomic_write


class Target:
    """Where results go: one to the file named, several into the folder named."""

    def __init__(self, path: Path | None, force: bool) -> None:
        self.path, self.force = path, force

    def names(self, count: int, ending: str) -> list[Path]:
        if self.path is None:
            raise KakuriError("KK-C04", "say where the result goes", hint=f"-o result.{ending}")
        if count == 1 and not self.path.is_dir():
            return [self.path]
        if self.path.exists() and not self.path.is_dir():
            raise KakuriError("KK-C04", f"{count} results need a folder", where=self.path, hint="-o FOLDER")
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise KakuriError("KK-F10", f"cannot make the folder: {error.strerror}", where=self.path) from error
        return [self.path / f"{index:04d}.{ending}" for index in range(1, count + 1)]

    def write(self, path: Path, data: bytes) -> None:
        with atomic_write(path, overwrite=self.force) as file:
            file.write(data)


def shown(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0].parent}/"
