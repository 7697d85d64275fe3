"""Packages: whole, signed, bounded; and nothing of a bad one is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kakuri import KakuriError, package, personal
from kakuri.personal import forms, signature
from kakuri.personal.handoff import Handoff
from kakuri.trust.secret_file import read_secret
from tests.unit.personal import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("handoff")
    small.package(made)
    return made


def public(folder: Path) -> bytes:
    return signature.read_public(folder / "publisher.pub")


def read_all(path: Path, publisher: bytes) -> None:
    handoff = Handoff.open(path, publisher)
    handoff.trunk_onnx()
    handoff.head()
    handoff.samples()
    handoff.guard()


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_form_travels_and_trains_a_head(tmp_path: Path, form: str) -> None:
    handoff = Handoff.open(small.package(tmp_path, form=form), public(tmp_path))
    terms, arrays = handoff.terms, handoff.samples()

    def extract(samples: np.ndarray) -> np.ndarray:
        return samples.reshape(len(samples), -1)[:, : terms.features].astype(np.float32)

    moments = forms.training_moments(form, arrays, terms.recipe, extract, terms.seed)
    assert moments.labels.tolist() == list(range(small.CLASSES))
    assert moments.means.shape == (small.CLASSES, terms.features)
    if form == "statistics":
        with pytest.raises(KakuriError) as caught:
            forms.training_features(form, arrays, terms.recipe, extract, terms.seed)
        assert caught.value.code == "KK-P36"
    else:
        features, labels = forms.training_features(form, arrays, terms.recipe, extract, terms.seed)
        assert features.shape == (len(labels), terms.features)
        assert set(labels.tolist()) == set(range(small.CLASSES))
    guard, guard_labels = forms.guard_features(handoff.guard(), terms.recipe, extract, terms.seed)
    assert guard.shape == (len(guard_labels), terms.features)
    assert handoff.head().weight.shape == (small.CLASSES, terms.features)
    assert ("samples" in arrays) == (form in forms.WITH_PICTURES)


def test_the_budget_is_kept_and_reported() -> None:
    whole = small.plan()
    for percent in (1.0, 3.0, 10.0):
        made = personal.plan(small.model(), small.data(), budget_percent=percent, recipe=small.RECIPE)
        assert made.handed_bytes <= 0.01 * percent * whole.general_bytes
        assert made.handed_bytes == sum(a.nbytes for a in (*made.samples.values(), *made.guard.values()))
        assert made.simulation is not None
        assert 0 <= made.simulation.general_accuracy <= 1
    with pytest.raises(KakuriError, match="does not hold the smallest hand-off"):
        personal.plan(small.model(), small.data(), budget_bytes=300, recipe=small.RECIPE)
    assert whole.general_bytes == 14 * small.CLASSES * 3 * 256
    assert sum(whole.bytes_per_class.values()) == whole.samples["values"].nbytes + whole.samples["labels"].nbytes


def test_equal_plans_give_equal_arrays() -> None:
    first, second = small.plan(strategy="random", seed=3), small.plan(strategy="random", seed=3)
    assert all(np.array_equal(first.samples[name], second.samples[name]) for name in first.samples)


def test_another_publisher_is_refused(folder: Path, tmp_path: Path) -> None:
    stranger = personal.Publisher.create(tmp_path / "other.kkey")
    with pytest.raises(KakuriError) as caught:
        Handoff.open(folder / "general.kkr", stranger.public)
    assert caught.value.code == "KK-P10"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_no_changed_byte_is_accepted(folder: Path, at: float, flip: int) -> None:
    data = bytearray((folder / "general.kkr").read_bytes())
    data[int(at * len(data))] ^= flip
    bad = folder / "bad.kkr"
    bad.write_bytes(data)
    with pytest.raises(KakuriError) as caught:
        read_all(bad, public(folder))
    assert caught.value.code[:4] in {"KK-F", "KK-P"}


def test_entries_cannot_be_swapped_added_or_left_out(folder: Path) -> None:
    with package.open_package(folder / "general.kkr") as whole:
        entries = {name: whole.read(name) for name in whole.names}
        content = whole.content
    changes: dict[str, dict[str, bytes]] = {
        "swapped": {**entries, "samples.safetensors": entries["guard.safetensors"]},
        "added": {**entries, "more.bin": b"x"},
        "left out": {name: data for name, data in entries.items() if name != "guard.safetensors"},
        "unsigned": {name: data for name, data in entries.items() if name != signature.ENTRY},
    }
    for made in changes.values():
        package.write(folder / "made.kkr", "personal", content, made)
        with pytest.raises(KakuriError) as caught:
            Handoff.open(folder / "made.kkr", public(folder))
        assert caught.value.code == "KK-P10"
    package.write(folder / "made.kkr", "personal", {**content, "name": "other"}, entries)
    with pytest.raises(KakuriError, match="signature is not valid"):
        Handoff.open(folder / "made.kkr", public(folder))


@pytest.mark.parametrize("key", ["version", "classes", "features", "form", "input", "recipe", "seed"])
def test_a_signed_package_with_senseless_terms_is_refused_too(folder: Path, key: str) -> None:
    publisher = small.publisher(folder)
    with package.open_package(folder / "general.kkr") as whole:
        content = whole.content
        entries = {name: whole.read(name) for name in whole.names if name != signature.ENTRY}
        listed = [whole.entry(name) for name in entries]
    for value in (None, -1, "x", [], {}, -(10**18)):
        bad = {**content, key: value}
        made = {**entries, signature.ENTRY: publisher.sign(bad, listed)}  # type: ignore[arg-type]
        package.write(folder / "bad.kkr", "personal", bad, made)
        with pytest.raises(KakuriError) as caught:
            Handoff.open(folder / "bad.kkr", public(folder))
        assert caught.value.code in {"KK-P02", "KK-P03", "KK-P13"}


def test_an_encrypted_package_opens_on_its_device_alone(tmp_path: Path) -> None:
    mine, other = personal.Device(tmp_path / "mine"), personal.Device(tmp_path / "other")
    publisher = small.publisher(tmp_path)
    path = small.plan().build(tmp_path / "sealed.kkr", publisher, recipient=mine.address())
    assert b"Conv" not in path.read_bytes()
    handoff = Handoff.open(path, publisher.public, mine.private_key)
    assert b"Conv" in handoff.trunk_onnx()
    assert len(handoff.samples()["labels"]) == 14 * small.CLASSES
    for device in (other.private_key, None):
        with pytest.raises(KakuriError) as caught:
            Handoff.open(path, publisher.public, device)
        assert caught.value.code == "KK-P12"


def test_the_publishers_key_is_secret_and_its_public_half_is_not(folder: Path) -> None:
    assert (folder / "publisher.kkey").stat().st_mode & 0o777 == 0o600
    secret = read_secret(folder / "publisher.kkey", "personal-publisher").sections["ed25519"]
    assert secret not in (folder / "general.kkr").read_bytes()
    again = personal.Publisher.load(folder / "publisher.kkey")
    assert again.public == public(folder)
    (folder / "not.pub").write_text("kakuri-publisher-1 00\n")
    with pytest.raises(KakuriError) as caught:
        signature.read_public(folder / "not.pub")
    assert caught.value.code == "KK-P11"


def test_problems_of_the_data_are_reported_together() -> None:
    with pytest.raises(KakuriError) as caught:
        personal.GeneralData(np.zeros((3, 8, 8), np.uint8), np.array([0, 9, 0]), ("a", "a"), np.zeros(3, bool))
    assert {problem.where for problem in caught.value.problems} == {"samples", "labels", "names", "held_out"}


def test_near_duplicates_are_found() -> None:
    samples = np.concatenate([small.pictures(0, 3, 5), small.pictures(1, 1, 6)])
    samples[2] = np.clip(samples[0].astype(int) + 2, 0, 255)
    assert personal.near_duplicates(samples) == [(0, 2)]
