"""What a package says about its inputs, and reading files accordingly.

Purpose: the preprocessing that server and device share, as a value in the package.
Guarantees: files are read, never copied or changed; sizes are checked before memory is taken.
Does not guarantee: that a face or a word is where the crop expects it; nothing is detected.
Errors: KK-P03 a spec that cannot be, KK-D30 and KK-D31 unusable or too large files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.files import read_bounded
from kakuri.personal.dataset import UInt8

MAX_FILE_BYTES = 64 << 20
_KINDS = ("picture", "sound")


@dataclass(frozen=True)
class InputSpec:
    """kind: ``picture`` or ``sound``. shape: (C, H, W) of a sample. mean, deviation: of pixel values over 255.

    crop: the centred share of a picture's shorter side that is kept (square), before resizing; sounds ignore it.
    A network reads (sample / 255 - mean) / deviation.
    """

    kind: str = "picture"
    shape: tuple[int, int, int] = (1, 64, 64)
    crop: float = 1.0
    mean: float = 0.5
    deviation: float = 0.25

    def __post_init__(self) -> None:
        channels, height, width = self.shape if len(self.shape) == 3 else (0, 0, 0)
        inside = (
            self.kind in _KINDS
            and channels in ((1, 3) if self.kind == "picture" else (1,))
            and 8 <= height <= 1024
            and 8 <= width <= 1024
            and 0.05 <= self.crop <= 1
            and 0 <= self.mean <= 1
            and 0.001 <= self.deviation <= 10
        )
        if not inside:
            raise KakuriError("KK-P03", "not a usable description of inputs", got=asdict(self))

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> InputSpec:
        try:
            shape = tuple(int(d) for d in fields["shape"])  # type: ignore[attr-defined]
            return cls(**{**fields, "shape": shape})  # type: ignore[arg-type]
        except (TypeError, KeyError, ValueError) as error:
            raise KakuriError("KK-P03", "not a usable description of inputs", got=type(error).__name__) from None

    def normalize(self, samples: UInt8) -> NDArray[np.float32]:
        """What the network reads, the same shape."""
        scale = np.float32(1 / (255 * self.deviation))
        return samples.astype(np.float32) * scale - np.float32(self.mean / self.deviation)

    def read(self, path: Path) -> UInt8:
        """One file as a sample (C, H, W). Raises KK-F12, KK-F13, KK-D30 and KK-D31."""
        content = read_bounded(path, limit_bytes=MAX_FILE_BYTES)
        return _reader(self.kind)(content, str(path), self)

    @property
    def suffixes(self) -> frozenset[str]:
        """File names that ``read`` is for."""
        return frozenset({".wav"}) if self.kind == "sound" else frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

    def files(self, folder: Path) -> list[Path]:
        """The folder's own files of this kind, in the order of their names."""
        return sorted(item for item in folder.iterdir() if item.suffix.lower() in self.suffixes)


def _reader(kind: str) -> Callable[[bytes, str, InputSpec], UInt8]:
    if kind == "sound":
        from kakuri.personal.inputs.sound import read_sound  # noqa: PLC0415  only what is needed

        return read_sound
    from kakuri.personal.inputs.picture import read_picture  # noqa: PLC0415

    return read_picture
