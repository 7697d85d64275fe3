"""The protocol on faces: parts are apart, near-duplicates are left out, measures are what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

import kakuri as kk
from kakuri import personal
from kakuri.bench.personal_protocol import PERSON, SPEC, Faces, faces, measure
from kakuri.bench.personal_runs import MODES, _balanced_share, curve, device_run, kept, task_of
from kakuri.zoo.networks import FaceCNN
from kakuri.zoo.training import to_onnx


def photos(people: int = 6, each: int = 20) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    names = [f"P{n}" for n in range(people)]
    made = {name: random.integers(0, 256, (each + n, *SPEC.shape), np.uint8) for n, name in enumerate(names)}
    return {**made, PERSON: random.integers(0, 256, (90, *SPEC.shape), np.uint8)}


def untrained_model(people: int, folder: Path) -> ir.Model:
    torch.manual_seed(7)
    path = folder / "untrained.onnx"
    path.write_bytes(to_onnx(FaceCNN(people).eval(), SPEC.shape, "faces"))
    return kk.load(path)


def rows(samples: np.ndarray) -> set[bytes]:
    return {sample.tobytes() for sample in samples}


def test_parts_are_apart_and_every_person_is_in_each() -> None:
    data = faces(photos(), 5, seed=1)
    trained, labels = data.general.part(held_out=False)
    held, held_labels = data.general.part(held_out=True)
    parts = [rows(trained), rows(held), rows(data.own), rows(data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set(labels) == set(held_labels) == set(range(5))
    assert set(data.test_labels) == set(range(6))
    assert (len(data.own), int((data.test_labels == 5).sum())) == (69, 21)
    assert data.left_out == 0


def test_a_seed_decides_people_and_photos() -> None:
    one, same, other = (faces(photos(), 4, seed=seed) for seed in (1, 1, 2))
    assert one.general.names == same.general.names
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.own, other.own)


def test_a_test_photo_that_nearly_equals_another_is_left_out() -> None:
    made = photos(people=3)
    doubled = np.clip(made["P0"][:1].astype(np.int16) + 2, 0, 255).astype(np.uint8)
    made["P0"] = np.concatenate([np.repeat(doubled, 15, axis=0), made["P0"][:5]])
    data = faces(made, 3, seed=0)
    assert data.left_out > 0
    assert not rows(data.test) & rows(data.general.samples)


def test_measures_by_hand() -> None:
    """Two general persons with four and two test photos, the new one with four."""
    samples = np.zeros((2, *SPEC.shape), np.uint8)
    general = personal.GeneralData(samples, np.array([0, 1]), ("a", "b"), np.array([True, False]))
    test_labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    data = Faces(general, samples, np.zeros((10, *SPEC.shape), np.uint8), test_labels, 0)
    found = measure(np.array([0, 0, 0, 2, 1, 0, 2, 2, 2, 1]), data)
    assert found.general_accuracy == pytest.approx(4 / 6)
    assert found.personal_recall == pytest.approx(3 / 4)
    assert found.false_personal == pytest.approx(1 / 6)
    assert found.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 3 / 4) / 3)
    assert found.accuracy == pytest.approx(0.9 * 4 / 6 + 0.1 * 3 / 4)


def test_a_share_is_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 5])
    chosen = _balanced_share(labels, 0.4, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [4, 8, 2]
    assert _balanced_share(labels, 0.0, np.random.default_rng(0)).size == 0


@pytest.mark.parametrize("share", [0.0, 0.5, None])
def test_a_curve_has_a_point_for_every_epoch(
    share: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kakuri.bench.personal_runs.CURVE_EPOCHS", 2)
    monkeypatch.setattr("kakuri.bench.personal_runs.VIEWS", personal.Recipe(views=1))
    data = faces(photos(people=2, each=20), 2, seed=0)
    made = curve(share, data, untrained_model(2, tmp_path), seed=0)
    assert len(made.points) == 2
    assert 0 < made.points[0].cpu_seconds < made.points[1].cpu_seconds
    assert 0 <= made.mirrored.accuracy <= 1
    if share == 0.0:
        assert made.points[-1].measures.false_personal > 0.5


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> dict[str, int]:
        calls.append(1)
        return {"a": 1}

    path = tmp_path / "below" / "run.json"
    assert [kept(path, make), kept(path, make)] == [{"a": 1}, {"a": 1}]
    assert len(calls) == 1


def test_the_recommended_way_through_package_and_confined_child(tmp_path: Path) -> None:
    """Untrained network, random pictures: only what travels and what it costs can be right or wrong."""
    data = faces(photos(people=4, each=20), 4, seed=0)
    mode = next(mode for mode in MODES if mode.name == "best")
    made = device_run(mode, task_of(data), untrained_model(4, tmp_path), seed=0)
    trained, _ = data.general.part(held_out=False)
    assert made.share_of_bytes == pytest.approx(made.handed_bytes / (9 * trained.nbytes))
    assert made.share_of_bytes <= 0.05
    assert 0 < made.cpu_seconds < 60
    assert 20 << 20 < made.peak_bytes < 150 << 20  # torch alone would take more
