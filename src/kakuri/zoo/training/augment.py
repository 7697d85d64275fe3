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
    translation_pixels: uniform in plus or minus this, both axes. elastic_pixels: standard deviation of the displacement
    at the points of a coarse grid. images_per_warp: so many consecutive images share one draw of those four; a warp of
    16 images costs a tenth of 16 warps. crop_margin_pixels: zeros added on every side before a random crop of the old
    size. flip: mirror left-right with probability one half.
    """

    rotation_degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation_pixels: float = 0.0
    elastic_pixels: float = 0.0
    images_per_warp: int = 1
    crop_margin_pixels: int = 0
    flip: bool = False

    @property
    def warps(self) -> bool:
        """Whether pixels are interpolated, as opposed to moved by whole pixels."""
        return bool(self.rotation_degrees or self.scale != (1.0, 1.0) or self.translation_pixels or self.elastic_pixels)


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
    count, _, height, width = images.shape
    shared = settings.images_per_warp
    if shared == 1:
        grid = _sampling_grid(count, height, width, settings, generator)
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    groups = math.ceil(count / shared)
    grid = _sampling_grid(groups, height, width, settings, generator)
    return _sampled_in_groups(images, grid, shared)


def _sampling_grid(count: int, height: int, width: int, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """(count, height, width, 2): where to sample, A^-1 (x - t), in units of half the image: pixels become 2 / size."""
    angle = _uniform(count, -settings.rotation_degrees, settings.rotation_degrees, generator) * (math.pi / 180)
    zoom = 1.0 / _uniform(count, *settings.scale, generator)
    shift = settings.translation_pixels
    shift_x = _uniform(count, -shift, shift, generator) * (2 / width)
    shift_y = _uniform(count, -shift, shift, generator) * (2 / height)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack([cosine, -sine, shift_x, sine, cosine, shift_y], dim=1).reshape(count, 2, 3)
    grid = functional.affine_grid(theta, [count, 1, height, width], align_corners=False)
    if settings.elastic_pixels:
        coarse = torch.randn(count, 2, _ELASTIC_GRID, _ELASTIC_GRID, generator=generator)
        field = functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
        pixel = torch.tensor([2 / width, 2 / height])
        grid = grid + field.permute(0, 2, 3, 1) * (settings.elastic_pixels * pixel)
    return grid


def _sampled_in_groups(images: Tensor, grid: Tensor, shared: int) -> Tensor:
    """Bilinear samples, zeros outside; ``grid[g]`` serves images g * shared to (g + 1) * shared - 1.

    One image's pixel becomes a row over the images of its group, and each sample a weighted sum of four rows. The
    result has the shape of images and strides with the batch innermost.
    """
    count, channels, height, width = images.shape
    groups, pixels = len(grid), height * width
    filled = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, groups * shared - count))
    rows = filled.reshape(groups, shared, channels, pixels).permute(0, 3, 2, 1).reshape(groups * pixels, -1)
    position = (grid + 1) * (torch.tensor([width, height]) / 2) - 0.5
    corner = position.floor()
    after = position - corner
    corner = corner.long()
    places, shares = [], []
    for down in (0, 1):
        for right in (0, 1):
            x, y = corner[..., 0] + right, corner[..., 1] + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            along_x = after[..., 0] if right else 1 - after[..., 0]
            along_y = after[..., 1] if down else 1 - after[..., 1]
            places.append(y.clamp(0, height - 1) * width + x.clamp(0, width - 1))
            shares.append(along_x * along_y * inside)
    place = torch.stack(places, -1).reshape(groups, pixels, 4) + (torch.arange(groups) * pixels)[:, None, None]
    share = torch.stack(shares, -1).reshape(groups, pixels, 4)
    chosen, weights = place.transpose(0, 1).reshape(-1, 4), share.transpose(0, 1).reshape(-1, 4)
    sampled = functional.embedding_bag(chosen, rows, mode="sum", per_sample_weights=weights)
    whole = sampled.reshape(height, width, groups, channels, shared).permute(2, 4, 3, 0, 1)
    return whole.flatten(0, 1)[:count]


def _pad_and_crop(images: Tensor, margin: int, generator: torch.Generator) -> Tensor:
    count, channels, height, width = images.shape
    padded = functional.pad(images, (margin,) * 4)
    top = torch.randint(0, 2 * margin + 1, (count,), generator=generator)
    left = torch.randint(0, 2 * margin + 1, (count,), generator=generator)
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]
    image, channel = torch.arange(count)[:, None, None, None], torch.arange(channels)[None, :, None, None]
    return padded[image, channel, rows, columns]
