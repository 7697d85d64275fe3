"""The last dense layer, apart from the model: all that a small device needs to change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Head:
    """weight: (classes, features) float32. bias: (classes,) float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
