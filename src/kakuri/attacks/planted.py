"""Plaintext on the wire: what an unprotected server would have seen.

Purpose: planted targets for self-tests, and the plaintext form of a target's own samples for the unprotected value.
Guarantees: made from the arguments and ``random`` alone; nothing is read from disk.
Does not guarantee: that the synthetic glyphs look like digits; they are as separable, which is what a self-test needs.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks.target import Messages, Target, messages

Float64 = NDArray[np.float64]
SIDE = 28
CLASSES = 10


def glyphs(count: int, random: np.random.Generator) -> tuple[Float64, NDArray[np.int64]]:
    """Images (count, 28, 28) in 0 ... 1 and labels (count,): ten fixed strokes, shifted, scaled and with noise."""
    labels = random.integers(0, CLASSES, count)
    images = np.zeros((count, SIDE, SIDE))
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for image, label in zip(images, labels, strict=True):
        angles = np.linspace(0.0, 2 * np.pi * (0.3 + 0.07 * label), 30)
        radius = 4.0 + 0.5 * label
        turn = label * 0.9
        centre = 13.5 + random.normal(0.0, 0.8, 2)
        for angle in angles:
            row = centre[0] + radius * np.sin(angle + turn)
            column = centre[1] + radius * np.cos(angle * (1 + label % 3) + turn)
            np.maximum(image, np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2.5), out=image)
        np.clip(image * random.uniform(0.8, 1.0) + random.normal(0.0, 0.02, image.shape), 0.0, 1.0, out=image)
        image[image < 0.1] = 0.0  # a background of exact zeros, as digits have
    return images, labels


def as_float32(values: NDArray[Any]) -> Messages:
    """Each sample's values as little-endian float32, what a plain inference server is usually sent."""
    return messages([np.ascontiguousarray(sample, "<f4").tobytes() for sample in values])


def as_pixels(images: NDArray[Any]) -> Messages:
    """Each image quantised to bytes over the range of all images."""
    low, high = float(np.min(images)), float(np.max(images))
    scaled = np.round((np.asarray(images, np.float64) - low) * (255.0 / (high - low) if high > low else 0.0))
    return messages([sample.astype(np.uint8).tobytes() for sample in scaled])


def as_compressed(images: NDArray[Any]) -> Messages:
    """Each image quantised and deflated, as PNG does: the size depends on the picture."""
    return messages([zlib.compress(pixels, 9) for (pixels,) in as_pixels(images)])


def sent_as_float32(target: Target) -> Target:
    """The images of ``target`` sent in the clear."""
    return replace(target, views={"query": as_float32(target.truth["image"])}, numbers={}, plain={})


def plaintext_server(count: int, random: np.random.Generator) -> Target:
    """Glyphs sent as float32."""
    images, labels = glyphs(count, random)
    return Target("planted plaintext server", {"query": as_float32(images)}, {"image": images, "label": labels})
