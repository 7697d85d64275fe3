"""From pixels to network input, stated once.

Purpose: the one preprocessing of every network in the zoo: pixel / 255, background 0, no mean or deviation.
Guarantees: `PREPROCESSING` is written into each exported model's metadata under `METADATA_KEY`.
Does not guarantee: that a model from elsewhere uses the same; read its metadata.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError

METADATA_KEY = "kakuri.preprocessing"


@dataclass(frozen=True)
class Preprocessing:
    """input = pixel * scale + offset, element by element, in float32."""

    scale: float
    offset: float

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """pixels: uint8 of any shape; float32 of the same shape comes back. Raises KK-D03 for another dtype."""
        if pixels.dtype != np.uint8:
            raise KakuriError("KK-D03", "pixels are not uint8", got=pixels.dtype, limit="uint8")
        return pixels.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as written into model metadata."""
        return asdict(self)


PREPROCESSING = Preprocessing(scale=1 / 255, offset=0.0)
