"""Pictures: centre crop, resize, grey or colour."""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from kakuri.errors import KakuriError
from kakuri.personal.dataset import UInt8

if TYPE_CHECKING:
    from kakuri.personal.inputs.spec import InputSpec

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MAX_PIXELS = 1 << 26
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, struct.error)


def read_picture(content: bytes, where: str, spec: InputSpec) -> UInt8:
    """(C, H, W): turned as its EXIF says, the centred square of ``spec.crop``, resized with a box filter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
            if picture.width * picture.height > _MAX_PIXELS:
                limit = f"{_MAX_PIXELS} pixels"
                raise KakuriError("KK-D31", "the picture is too large", where=where, got=picture.size, limit=limit)
            upright = ImageOps.exif_transpose(picture).convert("RGB" if spec.shape[0] == 3 else "L")
    except _UNREADABLE as error:
        text = f"{type(error).__name__}: {error}"[:120]
        limit = ", ".join(_FORMATS)
        raise KakuriError("KK-D30", "not a picture that can be read", where=where, got=text, limit=limit) from None
    side = spec.crop * min(upright.size)
    left, top = (upright.width - side) / 2, (upright.height - side) / 2
    box = (left, top, left + side, top + side)
    small = upright.resize((spec.shape[2], spec.shape[1]), Image.Resampling.BOX, box=box)
    pixels = np.asarray(small)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])
