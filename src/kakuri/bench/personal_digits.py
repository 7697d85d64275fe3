"""Personalisation on spoken digits: a device adapts the ten digits to one speaker whom the server never heard.

Settings: ``seeds`` (2), ``keep`` (a folder for finished runs, which a second call goes on from).
Cases: ``best`` and ``resume-100``, as in ``personal-lfw``. No class is new here, so there is no false-personal rate:
``personal_recall`` is accuracy on the speaker's own test takes, ``general_accuracy`` on those of the other five;
``unpersonalised_*`` are the server's model's. ``accuracy`` weighs both as personal-lfw does, 90 to 10.
Source: Free Spoken Digit Dataset; log-mel spectrograms by ``kakuri.personal.inputs.sound``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from kakuri import model, personal
from kakuri.bench.personal_protocol import PERSONAL_SHARE_OF_TEST, trained_model
from kakuri.bench.personal_rows import Run, rows_of_modes
from kakuri.bench.personal_runs import Mode, Task, device_run
from kakuri.bench.rows import Options, Row
from kakuri.personal.dataset import Int64, UInt8
from kakuri.personal.inputs.sound import read_sound
from kakuri.trust.entropy import SeededRandomness
from kakuri.zoo.data.fsdd import load_fsdd

SPEC = personal.InputSpec(kind="sound", shape=(1, 48, 48), mean=0.0, deviation=1.0)
VIEWS = personal.Recipe(views=5, flip=False, shift=2, blur_share=0.0)
#: Takes of a digit by every general speaker, and by the personal one.
GENERAL_TAKES = {"train": 8, "held": 3, "test": 4}
OWN_TAKES = {"own": 5, "own test": 20}


@dataclass(frozen=True)
class Digits:
    """general: the other speakers' takes. own: the speaker's, with labels. test: first the others', then the own."""

    general: personal.GeneralData
    own: UInt8
    own_labels: Int64
    test: UInt8
    test_labels: Int64
    general_tests: int

    def measure(self, said: Int64) -> dict[str, float]:
        """said: (n,) labels for the test samples."""
        right, count = said == self.test_labels, self.general_tests
        general, own = float(right[:count].mean()), float(right[count:].mean())
        share = PERSONAL_SHARE_OF_TEST
        return {"accuracy": (1 - share) * general + share * own, "general_accuracy": general, "personal_recall": own}


def run(options: Options) -> list[Row]:
    """One row per case. Raises KK-D20 without the recordings."""
    speakers = load_fsdd()

    def prepare(seed: int, folder: Path) -> Run:
        data = digits(speakers, seed)
        net = trained_model(data.general, VIEWS, seed, folder / f"digits-server-{seed}.onnx")
        return lambda mode: _made(mode, data, net, seed)

    return rows_of_modes(options, "digits-device", prepare)


def digits(speakers: dict[str, list[list[bytes]]], seed: int) -> Digits:
    """The personal speaker and everybody's takes are drawn by ``seed``; takes are split before views are made."""
    random = SeededRandomness(seed, "digits").generator()
    names = sorted(speakers)
    person = names[int(random.integers(len(names)))]
    parts: dict[str, list[UInt8]] = {name: [] for name in (*GENERAL_TAKES, *OWN_TAKES)}
    labels: dict[str, list[int]] = {name: [] for name in parts}
    for speaker in names:
        for digit, takes in enumerate(speakers[speaker]):
            order = iter(random.permutation(len(takes)).tolist())
            for part, size in (OWN_TAKES if speaker == person else GENERAL_TAKES).items():
                parts[part] += [read_sound(takes[next(order)], f"{digit}_{speaker}", SPEC) for _ in range(size)]
                labels[part] += [digit] * size
    trained, known = len(labels["train"]), np.array(labels["train"] + labels["held"])
    general = personal.GeneralData(
        np.stack(parts["train"] + parts["held"]),
        known,
        tuple(str(digit) for digit in range(10)),
        np.arange(len(known)) >= trained,
    )
    return Digits(
        general,
        np.stack(parts["own"]),
        np.array(labels["own"]),
        np.stack(parts["test"] + parts["own test"]),
        np.array(labels["test"] + labels["own test"]),
        len(labels["test"]),
    )


def _made(mode: Mode, data: Digits, net: ir.Model, seed: int) -> dict[str, Any]:
    names = tuple(str(label) for label in data.own_labels)
    made = device_run(mode, Task(data.general, data.own, names, data.test, SPEC, VIEWS, data.measure), net, seed)
    before = data.measure(model.reference_outputs(net, SPEC.normalize(data.test)).argmax(axis=1))
    measures = {**made.measures, **{f"unpersonalised_{name}": value for name, value in before.items()}}
    return {**made.to_dict(), "measures": measures}
