"""The protocol of the experiments on faces: who is who, which photos are for what, what is measured.

Purpose: from people's photos and a seed to disjoint parts, and from predictions to figures.
Guarantees: photos are split before they are augmented; a test photo that nearly equals another part's is left out; the
test part is read by `measure` alone, and everything that is chosen is chosen with the seeds 100 to 109.
Does not guarantee: that the people of one seed are as hard as those of another: results are paired by seed.
Source: S2, 3.1 and 3.2: about 30 photos a person, a fifth for testing, the rest made ninefold; Tony with 86 photos.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

import kakuri as kk
from kakuri import personal
from kakuri.files import atomic_write
from kakuri.personal.dataset import Int64, UInt8, near_duplicates
from kakuri.personal.inputs.picture import read_picture
from kakuri.trust.entropy import SeededRandomness
from kakuri.zoo.data.lfw import load_lfw
from kakuri.zoo.networks import FaceCNN
from kakuri.zoo.training import Augmentation, Recipe, Source, to_onnx, train

PERSON, PERSONAL_PHOTOS, PHOTOS = "Tony_Blair", 86, 30
TEST_SHARE, HELD_SHARE = 0.2, 0.15
#: Of the document's test data (S2, 3.3).
PERSONAL_SHARE_OF_TEST = 0.1
SPEC = personal.InputSpec(shape=(1, 48, 48), crop=0.5, mean=0.0, deviation=1.0)
VIEWS = personal.Recipe(views=9, shift=3)
SERVER_RECIPE = Recipe(
    "faces", epochs=12, batch_size=64, learning_rate=3e-3, schedule="cosine", warmup_epochs=0.5, ema_decay=0.99
)


@dataclass(frozen=True)
class Faces:
    """One seed's parts. general: trained and held-out samples; own: the personal photos to learn from.

    test, test_labels: of everybody; the personal class has the label ``len(general.names)``.
    """

    general: personal.GeneralData
    own: UInt8
    test: UInt8
    test_labels: Int64
    left_out: int

    @property
    def people(self) -> int:
        return len(self.general.names)


@dataclass(frozen=True)
class Measures:
    """Shares from 0 to 1. accuracy: general and personal photos weighted as in the document's test data."""

    accuracy: float
    balanced_accuracy: float
    general_accuracy: float
    personal_recall: float
    false_personal: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def photos_by_person(folder: Path | None = None) -> dict[str, UInt8]:
    """Every person's photos as samples (n, 1, 48, 48), the face's square in the middle cut out."""
    return {
        person: np.stack([read_picture(content, person, SPEC) for content in contents])
        for person, contents in load_lfw(folder).items()
    }


def faces(photos: dict[str, UInt8], people: int, seed: int) -> Faces:
    """``people`` general persons drawn by ``seed``, and the personal one."""
    random = SeededRandomness(seed, f"{people} faces").generator()
    others = sorted(set(photos) - {PERSON})
    names = tuple(sorted(others[index] for index in random.permutation(len(others))[:people]))
    train: list[UInt8] = []
    held: list[UInt8] = []
    test: list[UInt8] = []
    for name in names:
        drawn = photos[name][random.permutation(len(photos[name]))[:PHOTOS]]
        tested, kept = round(TEST_SHARE * len(drawn)), round(HELD_SHARE * len(drawn))
        test.append(drawn[:tested])
        held.append(drawn[tested : tested + kept])
        train.append(drawn[tested + kept :])
    drawn = photos[PERSON][random.permutation(len(photos[PERSON]))]
    own_count = round((1 - TEST_SHARE) * PERSONAL_PHOTOS)
    own, test = drawn[:own_count], [*test, drawn[own_count:]]
    samples = np.concatenate([*train, *held])
    labels = np.concatenate([_labels(train), _labels(held)])
    held_out = np.arange(len(labels)) >= sum(map(len, train))
    tested_samples, tested_labels = np.concatenate(test), _labels(test)
    fresh = _unlike(tested_samples, np.concatenate([samples, own]))
    general = personal.GeneralData(samples, labels, names, held_out)
    return Faces(general, own, tested_samples[fresh], tested_labels[fresh], int((~fresh).sum()))


def _labels(parts: list[UInt8]) -> Int64:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _unlike(test: UInt8, others: UInt8) -> NDArray[np.bool_]:
    """Which test samples have no near-duplicate among the others."""
    pairs = near_duplicates(np.concatenate([test, others]), threshold=0.97)
    doubled = [first for first, second in pairs if first < len(test) <= second]
    return ~np.isin(np.arange(len(test)), doubled)


def server_model(data: Faces, seed: int, path: Path) -> ir.Model:
    """The server's model of ``data``; see `trained_model`."""
    return trained_model(data.general, VIEWS, seed, path)


def face_cnn(classes: int) -> FaceCNN:
    """Untrained; its weights have the channels innermost, with which training is 1.6 times as fast."""
    module = FaceCNN(classes)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def trained_model(general: personal.GeneralData, recipe: personal.Recipe, seed: int, path: Path) -> ir.Model:
    """A FaceCNN, trained when ``path``, an ONNX file, is not there yet. One thread, half a minute."""
    if not path.exists():
        torch.manual_seed(seed)
        module = face_cnn(len(general.names))
        samples, labels = general.part(held_out=False)
        views = recipe.expand(samples, SeededRandomness(seed, "server views").generator())
        source = Source(torch.from_numpy(views), torch.from_numpy(np.repeat(labels, recipe.views)), Augmentation())
        train(module, source, SERVER_RECIPE, seed=seed)
        with atomic_write(path) as file:
            file.write(to_onnx(module, SPEC.shape, "faces"))
    return kk.load(path)


def measure(said: Int64, data: Faces) -> Measures:
    """said: (n,) labels for the test samples."""
    personal_test = data.test_labels == data.people
    right, general = said == data.test_labels, ~personal_test
    classes = [right[data.test_labels == label].mean() for label in np.unique(data.test_labels)]
    accuracy, recall = float(right[general].mean()), float(right[personal_test].mean())
    return Measures(
        accuracy=(1 - PERSONAL_SHARE_OF_TEST) * accuracy + PERSONAL_SHARE_OF_TEST * recall,
        balanced_accuracy=float(np.mean(classes)),
        general_accuracy=accuracy,
        personal_recall=recall,
        false_personal=float((said[general] == data.people).mean()),
    )
