"""Personalisation from package to forgetting, in the real sandbox."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kakuri import KakuriError, model, personal
from kakuri.personal.personalizer import FitSettings
from kakuri.personal.sealed import read_sealed
from kakuri.trust import sandbox
from tests.unit.personal import small

pytestmark = pytest.mark.skipif(
    sandbox.available().landlock_version < 3 or not sandbox.available().seccomp,
    reason="this kernel offers no Landlock ABI 3 or no seccomp: personalisation refuses to train",
)
ME = small.CLASSES  # the pattern that nobody else has


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    small.package(folder)
    return folder


@pytest.fixture
def device(server: Path, tmp_path: Path) -> Iterator[personal.Personalizer]:
    opened = personal.open(server / "general.kkr", server / "publisher.pub", home=tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "me"
    folder.mkdir()
    for index, picture in enumerate(small.pictures(ME, 12, 7)):
        Image.fromarray(picture[0]).save(folder / f"{index}.png")
    return folder


def stored(tmp_path: Path) -> bytes:
    """The installed model, decrypted."""
    (place,) = personal.Device(tmp_path / "home").places()
    return read_sealed(place.model, "model", place.key())


def test_a_new_person_is_learnt_and_nothing_personal_lies_in_the_clear(
    device: personal.Personalizer, photos: Path, tmp_path: Path
) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.iterdir()}
    shares: list[float] = []
    outcome = device.fit(photos, notice=lambda share, text: shares.append(share))
    assert outcome.installed
    assert outcome.classes == (*device.general_classes, "me")
    assert outcome.confinement.seccomp
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert outcome.false_personal_rate <= 0.01
    unseen = small.pictures(ME, 40, 99)
    assert np.mean([name == "me" for name in device.predict(unseen)]) > 0.8
    general, labels = small.data().part(held_out=True)
    right = [name == f"p{label}" for name, label in zip(device.predict(general), labels, strict=True)]
    assert np.mean(right) >= outcome.guard_accuracy_before - 0.1
    assert 0 < outcome.peak_bytes < 150 << 20  # no torch in the process
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.iterdir()} == before

    weights = device._model()[1].weight  # what must not be found on the disk
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert files
    assert not any(weights[-1].tobytes() in path.read_bytes() for path in files)
    names = [str(path.name).encode() for path in photos.iterdir()]
    assert not any(name in path.read_bytes() for path in files for name in names)


def test_exporting_needs_the_flag_and_gives_the_same_answers(device: personal.Personalizer, tmp_path: Path) -> None:
    device.fit(small.pictures(ME, 12, 7), "me")
    with pytest.raises(KakuriError) as caught:
        device.export(tmp_path / "me.onnx", weights_are_personal_data=False)
    assert caught.value.code == "KK-P35"
    assert not (tmp_path / "me.onnx").exists()
    device.export(tmp_path / "me.onnx", weights_are_personal_data=True)
    samples = small.pictures(2, 5, 50)
    names, scores = device.scores(samples)
    exported = model.reference_outputs(model.load(tmp_path / "me.onnx"), device.input.normalize(samples))
    np.testing.assert_allclose(exported, scores, atol=1e-3)
    assert len(names) == exported.shape[1]


def test_forgetting_leaves_no_key_and_no_model(device: personal.Personalizer, tmp_path: Path) -> None:
    device.fit(small.pictures(ME, 12, 7), "me")
    assert device.personalised
    kept = next((tmp_path / "home").rglob("model.sealed")).read_bytes()
    gone = device.forget()
    assert "key.kkey" in gone
    assert "model.sealed" in gone
    assert not list((tmp_path / "home").rglob("*.sealed"))
    assert not device.personalised
    assert set(device.predict(small.pictures(ME, 3, 1))) <= set(device.general_classes)
    device.fit(small.pictures(ME, 12, 7), "me")
    (place,) = personal.Device(tmp_path / "home").places()
    place.model.write_bytes(kept)
    with pytest.raises(KakuriError) as caught:
        device.predict(small.pictures(ME, 1, 1))
    assert caught.value.code == "KK-P20"


def test_a_model_below_the_floor_is_not_installed(device: personal.Personalizer, tmp_path: Path) -> None:
    device.fit(small.pictures(ME, 12, 7), "me")
    good = stored(tmp_path)
    mislabelled = np.concatenate([small.pictures(label, 20, 30) for label in range(1, small.CLASSES)])
    outcome = device.fit(mislabelled, "p0")
    assert not outcome.installed
    assert outcome.guard_accuracy < outcome.guard_accuracy_before - 0.02
    assert stored(tmp_path) == good


def test_bad_photos_are_refused_by_code_alone(device: personal.Personalizer, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(KakuriError) as caught:
        device.fit(photos)
    assert caught.value.code == "KK-D30"
    assert "broken" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(KakuriError) as caught:
        device.fit(tmp_path / "empty")
    assert caught.value.code == "KK-P32"
    assert not device.personalised


def test_the_first_publisher_is_pinned(server: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(KakuriError) as caught:
        personal.open(server / "general.kkr", home=home)
    assert caught.value.code == "KK-P21"
    personal.open(server / "general.kkr", server / "publisher.pub", home=home).close()
    personal.open(server / "general.kkr", home=home).close()
    stranger = personal.Publisher.create(tmp_path / "other.kkey")
    small.plan().build(tmp_path / "theirs.kkr", stranger)
    with pytest.raises(KakuriError) as caught:
        personal.open(tmp_path / "theirs.kkr", tmp_path / "other.pub", home=home)
    assert caught.value.code == "KK-P22"


class Killer:
    """Ends every confined child after a random time, until it has done so ``times`` times."""

    def __init__(self, times: int, longest_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.done, self._real = times, 0, sandbox.start
        self._longest, self._random = longest_seconds, random.Random(3)
        monkeypatch.setattr("kakuri.personal.personalizer.sandbox.start", self.start)

    def start(self, *arguments: object, **named: object) -> sandbox.Child:
        child = self._real(*arguments, **named)  # type: ignore[arg-type]
        if self.left:
            self.left -= 1
            delay = self._random.uniform(0, self._longest)
            threading.Thread(target=self._end, args=(child, delay)).start()
        return child

    def _end(self, child: sandbox.Child, delay: float) -> None:
        time.sleep(delay)
        if child.process.poll() is None:
            self.done += 1
            child.process.kill()


def fit_in_spite_of(device: personal.Personalizer, settings: FitSettings) -> None:
    while True:
        try:
            device.fit(small.pictures(ME, 12, 7), "me", settings=settings)
            return
        except KakuriError as error:
            if error.code != "KK-P31":
                raise


def killed_runs(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> Killer:
    """Runs to the end between kills; every run's model is the undisturbed one."""
    settings = FitSettings(epochs=400)
    started = time.monotonic()
    with monkeypatch.context():
        first = personal.open(server / "general.kkr", server / "publisher.pub", home=tmp_path / "home")
        first.fit(small.pictures(ME, 12, 7), "me", settings=settings)
    whole, seconds = stored(tmp_path), time.monotonic() - started
    first.forget()
    killer = Killer(times, seconds, monkeypatch)
    while killer.left:
        fit_in_spite_of(first, settings)
        assert stored(tmp_path) == whole
        first.forget()
    first.close()
    return killer


def test_a_killed_run_goes_on_to_the_same_bits(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed_runs(server, tmp_path, monkeypatch, 3).done >= 1


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_kills(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed_runs(server, tmp_path, monkeypatch, 400).done >= 200


def test_an_encrypted_package_is_learnt_from(tmp_path: Path) -> None:
    home = personal.Device(tmp_path / "home")
    publisher = small.publisher(tmp_path)
    path = small.plan().build(tmp_path / "sealed.kkr", publisher, recipient=home.address())
    opened = personal.open(path, publisher.public, home=tmp_path / "home")
    assert opened.fit(small.pictures(ME, 12, 7), "me").installed


def test_a_person_is_learnt_from_statistics_of_an_earlier_layer(tmp_path: Path) -> None:
    small.package(tmp_path, form="statistics", layer="c")
    opened = personal.open(tmp_path / "general.kkr", tmp_path / "publisher.pub", home=tmp_path / "home")
    outcome = opened.fit(small.pictures(ME, 12, 7), "me")
    assert outcome.installed
    assert outcome.false_personal_rate <= 0.01
    assert 0 < outcome.peak_bytes < 150 << 20
    assert np.mean([name == "me" for name in opened.predict(small.pictures(ME, 40, 99))]) > 0.8
    opened.export(tmp_path / "me.onnx", weights_are_personal_data=True)
    samples = small.pictures(2, 5, 50)
    exported = model.reference_outputs(model.load(tmp_path / "me.onnx"), opened.input.normalize(samples))
    np.testing.assert_allclose(exported, opened.scores(samples)[1], atol=1e-3)
    with pytest.raises(KakuriError) as caught:
        opened.fit(small.pictures(ME, 12, 7), "me", settings=FitSettings(method="head"))
    assert caught.value.code == "KK-P36"


def test_a_person_is_learnt_from_one_compressed_picture(tmp_path: Path) -> None:
    settings = personal.PlanSettings(form="compressed", layer="c", cells=8, simulated_classes=0)
    plan = personal.plan(small.model(), small.data(), recipe=small.RECIPE, settings=settings)
    assert plan.terms.features == 8 * 8 * 8  # more features than rows: solved by rows
    plan.build(tmp_path / "general.kkr", small.publisher(tmp_path))
    opened = personal.open(tmp_path / "general.kkr", tmp_path / "publisher.pub", home=tmp_path / "home")
    outcome = opened.fit(small.pictures(ME, 12, 7), "me")
    assert outcome.installed
    assert outcome.guard_samples == 6 * small.CLASSES * 4  # the device made four views of each
    assert outcome.false_personal_rate <= 0.01
    assert 0 < outcome.peak_bytes < 150 << 20
    assert np.mean([name == "me" for name in opened.predict(small.pictures(ME, 40, 99))]) > 0.8


def test_mirrored_features_go_the_whole_way(tmp_path: Path) -> None:
    settings = personal.PlanSettings(form="statistics", layer="c", simulated_classes=0)
    recipe = personal.Recipe(views=3, flip=True, shift=1)
    plan = personal.plan(small.model(), small.data(), recipe=recipe, settings=settings)
    plan.build(tmp_path / "general.kkr", small.publisher(tmp_path))
    opened = personal.open(tmp_path / "general.kkr", tmp_path / "publisher.pub", home=tmp_path / "home")
    assert opened.fit(small.pictures(ME, 12, 7), "me").installed
    samples = small.pictures(ME, 5, 50)
    scores = opened.scores(samples)[1]
    np.testing.assert_allclose(opened.scores(np.ascontiguousarray(samples[..., ::-1]))[1], scores, atol=1e-5)
    opened.export(tmp_path / "me.onnx", weights_are_personal_data=True)
    exported = model.reference_outputs(model.load(tmp_path / "me.onnx"), opened.input.normalize(samples))
    np.testing.assert_allclose(exported, scores, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "last-layers", "lora"])
def test_deeper_methods_learn_too(tmp_path: Path, method: str) -> None:
    small.package(tmp_path, form="originals")
    opened = personal.open(tmp_path / "general.kkr", tmp_path / "publisher.pub", home=tmp_path / "home")
    outcome = opened.fit(small.pictures(ME, 12, 7), "me", settings=FitSettings(method=method, epochs=6))
    assert outcome.installed
    assert outcome.peak_bytes < 400 << 20
    assert np.mean([name == "me" for name in opened.predict(small.pictures(ME, 40, 99))]) > 0.8
    opened.export(tmp_path / "me.onnx", weights_are_personal_data=True)
    samples = small.pictures(2, 5, 50)
    exported = model.reference_outputs(model.load(tmp_path / "me.onnx"), opened.input.normalize(samples))
    np.testing.assert_allclose(exported, opened.scores(samples)[1], atol=1e-3)
