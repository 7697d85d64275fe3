"""Augmentation: what must not change, what must, and only through the generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.zoo.training import Augmentation, augment
from kakuri.zoo.training.augment import _ELASTIC_GRID, _enlarging, _mean_over_ink


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blob() -> torch.Tensor:
    """A round blob, standard deviation 3 pixels, in the middle of 28 x 28."""
    axis = torch.arange(28) - 13.5
    return torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 18)[None, None]


def test_default_changes_nothing() -> None:
    images = torch.rand(5, 1, 28, 28)
    assert torch.equal(augment(images, Augmentation(), generator()), images)


augmentations = st.builds(
    Augmentation,
    rotation_degrees=st.floats(0, 30),
    scale=st.tuples(st.floats(0.5, 1.0), st.floats(1.0, 1.5)),
    translation_pixels=st.floats(0, 3),
    elastic_pixels=st.floats(0, 1),
    shear=st.floats(0, 0.5),
    aspect=st.floats(0, 0.5),
    centred=st.booleans(),
    crop_margin_pixels=st.integers(0, 3),
    flip=st.booleans(),
)


@settings(deadline=None, max_examples=25)
@given(augmentations, st.integers(1, 4), st.integers(0, 2**31))
def test_shape_range_and_reproducibility(chosen: Augmentation, count: int, seed: int) -> None:
    images = torch.rand(count, 3, 12, 10)
    one, two = augment(images, chosen, generator(seed)), augment(images, chosen, generator(seed))
    assert one.shape == images.shape
    assert one.dtype == torch.float32
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1


def test_rotation_keeps_a_round_blob_and_moves_a_stroke() -> None:
    turn = Augmentation(rotation_degrees=15)
    turned = augment(blob().repeat(20, 1, 1, 1), turn, generator())
    assert (turned - blob()).abs().max() < 0.03
    stroke = torch.zeros(20, 1, 28, 28)
    stroke[:, :, :, 13:15] = 1
    assert ((augment(stroke, turn, generator()) - stroke).abs().amax((1, 2, 3)) > 0.3).sum() > 10


def test_scale_is_the_factor_of_the_drawn_size() -> None:
    """Area grows with the square of the factor."""
    images = blob().repeat(4, 1, 1, 1)
    for factor in (0.8, 1.0, 1.2):
        grown = augment(images, Augmentation(scale=(factor, factor), translation_pixels=1e-9), generator())
        assert float(grown.sum() / images.sum()) == pytest.approx(factor**2, rel=0.01)


def test_translation_is_in_pixels() -> None:
    images = blob().repeat(400, 1, 1, 1)
    moved = augment(images, Augmentation(translation_pixels=2.0), generator())
    columns = torch.arange(28) - 13.5
    centres = (moved.sum((1, 2)) * columns).sum(1) / moved.sum((1, 2, 3))
    assert 1.8 < float(centres.abs().max()) <= 2.01


def test_rotation_stays_within_its_bound() -> None:
    """The principal axis of a bar turns by at most the given angle, to both sides."""
    bar = torch.zeros(200, 1, 29, 29)
    bar[:, :, 13:16, 4:25] = 1
    turned = augment(bar, Augmentation(rotation_degrees=15), generator())[:, 0]
    axis = torch.arange(29) - 14.0
    xx = (turned * axis[None, None] ** 2).sum((1, 2))
    yy = (turned * axis[None, :, None] ** 2).sum((1, 2))
    xy = (turned * axis[None, :, None] * axis[None, None]).sum((1, 2))
    degrees = torch.rad2deg(0.5 * torch.atan2(2 * xy, xx - yy))
    assert 13 < float(degrees.max()) < 15.5
    assert -15.5 < float(degrees.min()) < -13


def test_crop_moves_by_whole_pixels() -> None:
    images = torch.zeros(300, 1, 8, 8)
    images[:, :, 4, 4] = 1
    moved = augment(images, Augmentation(crop_margin_pixels=2), generator())
    places = moved.flatten(1).argmax(1)
    assert (moved.sum((1, 2, 3)) == 1).all()
    assert set((places // 8).tolist()) == {2, 3, 4, 5, 6}
    assert set((places % 8).tolist()) == {2, 3, 4, 5, 6}


def test_flip_mirrors_about_half() -> None:
    images = torch.zeros(1000, 1, 2, 3)
    images[..., 0] = 1
    flipped = augment(images, Augmentation(flip=True), generator())
    mirrored = int((flipped[:, 0, 0, 2] == 1).sum())
    assert torch.equal(flipped.sum((1, 2, 3)), images.sum((1, 2, 3)))
    assert 430 < mirrored < 570


def test_the_elastic_field_is_the_bicubic_enlargement_of_the_coarse_one() -> None:
    coarse = torch.randn(3, 2, _ELASTIC_GRID, _ELASTIC_GRID)
    expected = torch.nn.functional.interpolate(coarse, size=(12, 10), mode="bicubic", align_corners=True)
    torch.testing.assert_close(_enlarging(12) @ coarse @ _enlarging(10).t(), expected, atol=1e-5, rtol=1e-5)


def moments(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Centre of mass (x, y) and second central moments (xx, xy, yy) of each image, in pixels."""
    ink = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    axis = torch.arange(28) - 13.5
    x, y = (ink * axis).sum((1, 2)), (ink * axis[:, None]).sum((1, 2))
    dx, dy = axis - x[:, None, None], axis[:, None] - y[:, None, None]
    return x, y, (ink * dx * dx).sum((1, 2)), (ink * dx * dy).sum((1, 2)), (ink * dy * dy).sum((1, 2))


def test_aspect_stretches_one_axis_and_shrinks_the_other_by_the_same_factor() -> None:
    *_, xx, xy, yy = moments(augment(blob().repeat(40, 1, 1, 1), Augmentation(aspect=0.3), generator()))
    torch.testing.assert_close((xx * yy).sqrt(), torch.full((40,), 9.0), rtol=0.03, atol=0)
    assert xy.abs().max() < 0.05
    assert (xx / yy).max() > 2
    assert (xx / yy).min() < 0.5


def test_shear_moves_columns_by_row_and_keeps_height() -> None:
    *_, xx, xy, yy = moments(augment(blob().repeat(40, 1, 1, 1), Augmentation(shear=0.3), generator()))
    torch.testing.assert_close(yy, torch.full((40,), 9.0), rtol=0.02, atol=0)
    torch.testing.assert_close(xx, 9 + xy**2 / 9, rtol=0.02, atol=0)
    assert xy.min() < -1
    assert xy.max() > 1


def test_centred_elastic_distortion_moves_the_ink_less() -> None:
    """What is left comes from ink that spreads or shrinks on one side, not from a common displacement."""
    off_centre = torch.roll(blob(), (3, -2), (2, 3)).repeat(60, 1, 1, 1)
    moved = []
    for centred in (False, True):
        x, y, *_ = moments(augment(off_centre, Augmentation(elastic_pixels=1.0, centred=centred), generator()))
        moved.append(float(((x + 2) ** 2 + (y - 3) ** 2).mean().sqrt()))
    assert moved[1] < 0.85 * moved[0]
    ink, constant = torch.rand(3, 1, 5, 7), torch.full((3, 2, 5, 7), 1.5)
    torch.testing.assert_close(_mean_over_ink(constant, ink), constant[:, :, :1, :1])
    empty = torch.zeros(2, 1, 28, 28)
    assert torch.equal(augment(empty, Augmentation(elastic_pixels=1.0, centred=True), generator()), empty)
