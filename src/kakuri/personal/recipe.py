"""The augmentation recipe: part of the package, so that a device makes the same kind of views as the server did.

Purpose: ``Recipe.views`` turns one sample into several.
Guarantees: equal samples, recipe and generator give equal bytes; the first view is the sample itself.
Does not guarantee: that the views suit data other than pictures and spectrograms.
Source: S2, 3.1: training data made ninefold by blurring and the like; the document names no further operations.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from kakuri.errors import KakuriError
from kakuri.personal.dataset import UInt8

MAX_VIEWS = 64


@dataclass(frozen=True)
class Recipe:
    """views: per sample, with the sample itself. flip: mirror half of them. shift: pixels either way, on both axes.

    contrast: factor 1 +- this. brightness: of 255, +- this share. blur_share: of the views that are blurred by a 3x3
    binomial kernel.
    """

    views: int = 9
    flip: bool = True
    shift: int = 4
    contrast: float = 0.2
    brightness: float = 0.1
    blur_share: float = 0.3

    def __post_init__(self) -> None:
        inside = (
            1 <= self.views <= MAX_VIEWS
            and 0 <= self.shift <= 32
            and 0 <= self.contrast < 1
            and 0 <= self.brightness <= 1
            and 0 <= self.blur_share <= 1
        )
        if not inside:
            limit = f"views 1..{MAX_VIEWS}, shift 0..32, contrast and shares 0..1"
            raise KakuriError("KK-P02", "recipe out of bounds", got=asdict(self), limit=limit)

    def to_dict(self) -> dict[str, float | int | bool]:
        return asdict(self)

    def expand(self, samples: UInt8, generator: np.random.Generator) -> UInt8:
        """(n, C, H, W) -> (n * views, C, H, W); the views of one sample stand together."""
        return np.concatenate([self.views_of(sample, generator) for sample in samples])

    def views_of(self, sample: UInt8, generator: np.random.Generator) -> UInt8:
        """(C, H, W) -> (views, C, H, W)."""
        return np.stack([sample, *(self._view(sample, generator) for _ in range(self.views - 1))])

    def _view(self, sample: UInt8, generator: np.random.Generator) -> UInt8:
        flipped = self.flip and generator.random() < 0.5
        down, right = generator.integers(-self.shift, self.shift + 1, 2)
        factor = 1 + self.contrast * (2 * generator.random() - 1)
        offset = 255 * self.brightness * (2 * generator.random() - 1)
        blurred = generator.random() < self.blur_share
        view = sample[:, :, ::-1] if flipped else sample
        view = _shifted(view, int(down), int(right))
        values = view.astype(np.float32)
        if blurred:
            values = _blurred(values)
        mean = values.mean()
        made: UInt8 = np.clip(np.rint((values - mean) * factor + mean + offset), 0, 255).astype(np.uint8)
        return made


def _shifted(view: UInt8, down: int, right: int) -> UInt8:
    """Moved, the border repeated."""
    height, width = view.shape[1:]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return view[:, rows][:, :, columns]


def _blurred(values: np.ndarray) -> np.ndarray:
    """3x3 binomial kernel (1 2 1; 2 4 2; 1 2 1) / 16, the border repeated."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return np.asarray((rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4)
