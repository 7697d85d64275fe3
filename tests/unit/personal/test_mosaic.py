"""One picture of many samples: what comes back, how little it takes, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kakuri import KakuriError, personal
from kakuri.personal import forms, mosaic
from tests.unit.personal import small


def smooth(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """(count, C, H, W): a slope each, of its own level and direction in every channel."""
    random = np.random.default_rng([count, *shape])
    rows, columns = np.mgrid[: shape[1], : shape[2]] / max(shape[1:])
    level, down, right = random.uniform(60, 120, (3, count, shape[0], 1, 1)) - 20
    return (level + 0.5 * down * rows + 0.5 * right * columns).astype(np.uint8)


@given(st.integers(1, 11), st.sampled_from([1, 2, 3, 4]), st.integers(4, 20), st.integers(4, 20))
def test_samples_come_back_nearly_as_they_were(count: int, channels: int, height: int, width: int) -> None:
    shape = (channels, height, width)
    samples = smooth(count, shape)
    found = mosaic.unpack(mosaic.pack(samples, 95), count, shape)
    assert found.shape == samples.shape
    assert np.median(np.abs(found.astype(int) - samples)) <= 12


def test_samples_stay_in_their_places() -> None:
    samples = np.repeat(np.arange(20, 240, 20, dtype=np.uint8), 16 * 16).reshape(-1, 1, 16, 16)
    found = mosaic.unpack(mosaic.pack(samples, 90), len(samples), (1, 16, 16))
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), samples[:, 0, 0, 0], atol=4)


def test_a_capacity_is_what_a_sheet_holds() -> None:
    assert mosaic.capacity((1, 48, 48)) == 170**2
    assert mosaic.capacity((2, 2000, 100)) == 8
    assert mosaic.capacity((3, 2000, 100)) == 16


def claimed(width: int, height: int) -> np.ndarray:
    """A small sheet whose header says that it is so large (VP8X: 24 bits each, less one)."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    whole = coded(16, 16).tobytes()
    chunk = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + size
    body = b"WEBP" + chunk + whole[12:]
    return np.frombuffer(b"RIFF" + len(body).to_bytes(4, "little") + body, np.uint8)


def coded(width: int, height: int, frames: int = 1) -> np.ndarray:
    file = io.BytesIO()
    images = [Image.new("L", (width, height), 9 * index) for index in range(frames)]
    images[0].save(file, "WEBP", save_all=frames > 1, append_images=images[1:])
    return np.frombuffer(file.getvalue(), np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        coded(16, 8),
        coded(24, 16),
        coded(16, 16, frames=2),
        coded(16, 16)[:40],
        np.zeros(0, np.uint8),
        claimed(16383, 16383),
    ],
    ids=["rows", "columns", "frames", "torn", "nothing", "vast"],
)
def test_any_other_sheet_is_refused(data: np.ndarray) -> None:
    assert mosaic.unpack(coded(16, 16), 4, (1, 8, 8)).shape == (4, 1, 8, 8)
    with pytest.raises(KakuriError) as caught:
        mosaic.unpack(data, 4, (1, 8, 8))
    assert caught.value.code == "KK-P13"


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_do_more_than_be_refused(noise: bytes, at: int) -> None:
    whole = mosaic.pack(smooth(9, (1, 16, 16)), 50).tobytes()
    for data in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            found = mosaic.unpack(np.frombuffer(data, np.uint8), 9, (1, 16, 16))
        except KakuriError as error:
            assert error.code == "KK-P13"  # noqa: PT017  some mutations decode
        else:
            assert found.shape == (9, 1, 16, 16)


def test_a_budget_that_holds_few_gets_few() -> None:
    settings = personal.PlanSettings(form="compressed", layer="c", cells=8, simulated_classes=3, quality=60)

    def planned(budget: int | None) -> personal.PersonalPlan:
        return personal.plan(small.model(), small.data(), budget_bytes=budget, recipe=small.RECIPE, settings=settings)

    whole, tight = planned(None), planned(4000)
    assert tight.handed_bytes <= 4000 < whole.handed_bytes
    assert whole.handed_bytes == sum(a.nbytes for a in (*whole.samples.values(), *whole.guard.values()))
    assert 1 <= len(tight.samples["labels"]) < len(whole.samples["labels"]) == 14 * small.CLASSES
    assert 1 <= len(tight.guard["labels"]) < len(whole.guard["labels"]) == 6 * small.CLASSES
    assert whole.simulation is not None
    assert whole.simulation.personal_recall > 0.5
    assert sum(whole.bytes_per_class.values()) <= whole.handed_bytes
    with pytest.raises(KakuriError, match="does not hold the smallest hand-off"):
        planned(100)


def test_settings_out_of_bounds_are_refused() -> None:
    for wrong in ({"quality": 0}, {"quality": 101}, {"cells": 0}, {"feature_views": 0}, {"guard_views": 65}):
        with pytest.raises(KakuriError) as caught:
            personal.PlanSettings(form="compressed", **wrong)  # type: ignore[arg-type]
        assert caught.value.code == "KK-P07"


def test_views_are_made_where_there_are_samples_alone(tmp_path: Path) -> None:
    path = small.package(tmp_path, form="compressed", feature_views=2, guard_views=3)
    handoff = personal.handoff.Handoff.open(path, personal.signature.read_public(tmp_path / "publisher.pub"))
    terms, arrays, guard = handoff.terms, handoff.samples(), handoff.guard()

    def extract(samples: np.ndarray) -> np.ndarray:
        return samples.reshape(len(samples), -1).astype(np.float32)

    features, labels = forms.training_features("compressed", arrays, terms.recipe, extract, terms.seed)
    assert len(features) == len(labels) == 2 * 14 * small.CLASSES
    np.testing.assert_array_equal(features[::2], extract(arrays["samples"]))
    held, held_labels = forms.guard_features(guard, terms.recipe, extract, terms.seed)
    assert len(held) == len(held_labels) == 3 * 6 * small.CLASSES
    np.testing.assert_array_equal(held_labels, guard["labels"].repeat(3))
    pictures, _ = forms.training_samples("compressed", arrays, terms.recipe, terms.seed)
    assert len(pictures) == small.RECIPE.views * 14 * small.CLASSES  # deeper methods take every view
