"""Augmentation of image batches on tensors.

Purpose: rotation, scaling, translation, smooth elastic distortion, and the pad-crop-flip of CIFAR-10.
Guarantees: a function of the batch, the settings and the generator's state; shape and dtype are kept.
Does not guarantee: labels that survive extreme settings (a 6 rotated by 180 degrees is a 9).
Source: S4, table 5.4 (rotation of 15 degrees, scale 0.8 to 1.2; margin 4, crop, flip); elastic distortion after Simard,
Steinkraus, Platt (2003), here a coarse random displacement field, bicubically enlarged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """What to draw for each image; the default changes nothing.

    rotation_degrees: uniform in plus or minus this. scale: uniform factor of the drawn size, (smallest, largest).
    translation_pixels: uniform in plus or minus this, both axes. shear: uniform in plus or minus this, columns moved
    per row. aspect: natural logarithm of the stretch, uniform in plus or minus this. elastic_pixels: standard deviation
    of the displacement at the points of a coarse grid; centred: its mean over an image's ink is zero, since MNIST's own
    preparation centres digits. crop_margin_pixels: zeros added on every side before a random crop of the old size.
    flip: mirror left-right with probability one half.
    """

    rotation_degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation_pixels: float = 0.0
    elastic_pixels: float = 0.0
    shear: float = 0.0
    aspect: float = 0.0
    centred: bool = False
    crop_margin_pixels: int = 0
    flip: bool = False

    @property
    def warps(self) -> bool:
        """Whether pixels are interpolated, as opposed to moved by whole pixels."""
        moved = self.rotation_degrees or self.translation_pixels or self.elastic_pixels or self.shear or self.aspect
        return bool(moved or self.scale != (1.0, 1.0))


_ELASTIC_GRID = 5


def augment(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """images: float32 (n, c, h, w), background 0; the same shape and dtype comes back."""
    if settings.warps:
        images = _warp(images, settings, generator)
    if settings.crop_margin_pixels:
        images = _pad_and_crop(images, settings.crop_margin_pixels, generator)
    if settings.flip:
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _warp(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    grid = _sampling_grid(images, settings, generator)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _sampling_grid(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """(count, height, width, 2): where to sample, A^-1 (x - t), in units of half the image: pixels become 2 / size."""
    count, _, height, width = images.shape
    angle = _uniform(count, -settings.rotation_degrees, settings.rotation_degrees, generator) * (math.pi / 180)
    zoom = 1.0 / _uniform(count, *settings.scale, generator)
    shift = settings.translation_pixels
    shift_x = _uniform(count, -shift, shift, generator) * (2 / width)
    shift_y = _uniform(count, -shift, shift, generator) * (2 / height)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    across, down = torch.stack([cosine, sine], 1), torch.stack([-sine, cosine], 1)
    if settings.aspect:
        stretch = torch.exp(_uniform(count, -settings.aspect, settings.aspect, generator))[:, None]
        across, down = across * stretch, down / stretch
    if settings.shear:
        down = down + across * _uniform(count, -settings.shear, settings.shear, generator)[:, None]
    theta = torch.stack([across, down, torch.stack([shift_x, shift_y], 1)], dim=2)
    grid = functional.affine_grid(theta, [count, 1, height, width], align_corners=False)
    if settings.elastic_pixels:
        coarse = torch.randn(count, 2, _ELASTIC_GRID, _ELASTIC_GRID, generator=generator)
        field = _enlarging(height) @ coarse @ _enlarging(width).t()
        if settings.centred:
            field = field - _mean_over_ink(field, images)
        pixel = torch.tensor([2 / width, 2 / height])
        grid = grid + field.permute(0, 2, 3, 1) * (settings.elastic_pixels * pixel)
    return grid


def _mean_over_ink(field: Tensor, images: Tensor) -> Tensor:
    """Mean of field (n, 2, h, w), weighted by images (n, c, h, w): (n, 2, 1, 1). An empty image has mean 0."""
    ink = images.mean(1, keepdim=True)
    return (field * ink).sum((2, 3), keepdim=True) / ink.sum((2, 3), keepdim=True).clamp(min=1e-6)


def _enlarging(size: int) -> Tensor:
    """(size, _ELASTIC_GRID): the bicubic enlargement of one axis, as the matrix that it is."""
    identity = torch.eye(_ELASTIC_GRID)[None, None]
    shape = (size, _ELASTIC_GRID)
    return functional.interpolate(identity, size=shape, mode="bicubic", align_corners=True)[0, 0]


def _pad_and_crop(images: Tensor, margin: int, generator: torch.Generator) -> Tensor:
    count, channels, height, width = images.shape
    padded = functional.pad(images, (margin,) * 4)
    top = torch.randint(0, 2 * margin + 1, (count,), generator=generator)
    left = torch.randint(0, 2 * margin + 1, (count,), generator=generator)
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]
    image, channel = torch.arange(count)[:, None, None, None], torch.arange(channels)[None, :, None, None]
    return padded[image, channel, rows, columns]
