"""The confined process: reads package and photos, learns, writes encrypted artefacts into one folder.

Purpose: ``main`` runs inside ``kakuri.trust.sandbox``; its parent verified the package's signature.
Guarantees: the learned model depends on the job alone, not on when or how often the process was killed: the state is
written atomically between epochs, with the identity of the job; photos are read, never written.
Does not guarantee: equal bits on another processor, library or thread count.
Errors: those of ``handoff`` and ``inputs``; only their codes leave (``channel``).
"""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.personal.calibration import calibrated, counts
from kakuri.personal.channel import Report, Speaker
from kakuri.personal.dataset import Int64, UInt8
from kakuri.personal.features import Float32, Trunk
from kakuri.personal.forms import feature_recipe, guard_features, training_features, training_moments
from kakuri.personal.handoff import Handoff, tensors
from kakuri.personal.job import Job
from kakuri.personal.learners.analytic import AnalyticLearner
from kakuri.personal.learners.head import HeadLearner
from kakuri.personal.learners.learner import Learned, Learner
from kakuri.personal.sealed import read_sealed, write_sealed
from kakuri.trust.entropy import SeededRandomness

_SAVE_EVERY_SECONDS = 0.5
_CHECKPOINT, _MODEL = "checkpoint", "model"


def main(words: Sequence[str]) -> int:
    """words: descriptor of the job, descriptor of the channel."""
    job_descriptor, channel = (int(word) for word in words)
    speaker = Speaker(channel)
    try:
        with os.fdopen(job_descriptor, "rb") as file:
            job = Job.from_json(file.read())
        run(job, speaker)
    except KakuriError as error:
        speaker.error(error.code)
        return 1
    return 0


@dataclass(frozen=True)
class _Personal:
    """Samples and labels; digest: of both."""

    samples: UInt8
    labels: Int64
    digest: str


def run(job: Job, speaker: Speaker) -> None:
    """The whole training of ``job``."""
    handoff = Handoff.reopen(Path(job.package), job.digest, job.content_key)
    personal = _read(job, handoff)
    folder, identity = Path(job.folder), job.identity(personal.digest)
    learner = _learner(job, handoff, personal)
    first = _restore(folder, job.key, identity, learner)
    saved = time.monotonic()
    for index in range(first, job.epochs):
        loss = learner.epoch(index)
        if time.monotonic() - saved > _SAVE_EVERY_SECONDS:
            _save(folder, job.key, identity, index + 1, learner)
            saved = time.monotonic()
        speaker.epoch(index, loss)
    _finish(job, handoff, learner.learned(), speaker)


def _read(job: Job, handoff: Handoff) -> _Personal:
    """Raises KK-D30 and KK-D31 for a photo that cannot be read, and KK-P32 when there is none."""
    spec = handoff.terms.input
    labels = np.array([label for _, label in job.photos], dtype=np.int64)
    if job.array_descriptor is not None:
        with os.fdopen(job.array_descriptor, "rb") as file:
            samples = np.frombuffer(file.read(), np.uint8).reshape(len(labels), *spec.shape)
    else:
        samples = (
            np.stack([spec.read(Path(path)) for path, _ in job.photos]) if job.photos else np.zeros((0,), np.uint8)
        )
    if not len(labels):
        raise KakuriError("KK-P32", "there is nothing to learn from")
    digest = hashlib.sha256(samples.tobytes() + labels.tobytes()).hexdigest()
    return _Personal(samples, labels, digest)


def _learner(job: Job, handoff: Handoff, personal: _Personal) -> Learner:
    terms, random = handoff.terms, SeededRandomness(job.seed, "personalise")
    deep, samples = job.method not in ("analytic", "head"), handoff.samples()
    recipe = terms.recipe if deep else feature_recipe(samples, terms.recipe)
    views = recipe.expand(personal.samples, random.child("views").generator())
    view_labels = np.repeat(personal.labels, recipe.views)
    if deep:
        from kakuri.personal.learners.deep import DeepLearner  # noqa: PLC0415  torch is an extra

        return DeepLearner.from_handoff(
            handoff,
            samples,
            views,
            view_labels,
            classes=job.classes,
            method=job.method,
            epochs=job.epochs,
            randomness=random,
        )
    trunk = Trunk(handoff.trunk_onnx(), terms.input)
    own: Float32 = trunk.features(views)
    given = (terms.form, samples, terms.recipe, trunk.features, terms.seed)
    if job.method == "analytic":
        return AnalyticLearner(training_moments(*given), own, view_labels, job.classes)
    general, labels = training_features(*given)
    return HeadLearner(
        np.concatenate([general, own]),
        np.concatenate([labels, view_labels]),
        handoff.head(),
        job.classes,
        randomness=random,
    )


def _save(folder: Path, key: bytes, identity: str, epochs_done: int, learner: Learner) -> None:
    head = strict_json.encode({"identity": identity, "epochs": epochs_done})
    body = tensors(learner.state())
    write_sealed(folder / "checkpoint.sealed", _CHECKPOINT, key, len(head).to_bytes(4, "big") + head + body)


def _restore(folder: Path, key: bytes, identity: str, learner: Learner) -> int:
    """Epochs done; 0 without a checkpoint of this very job."""
    path = folder / "checkpoint.sealed"
    if not path.exists():
        return 0
    try:
        data = read_sealed(path, _CHECKPOINT, key)
        length = int.from_bytes(data[:4], "big")
        fields = strict_json.decode(data[4 : 4 + length], "KK-P20", str(path))
        if fields["identity"] != identity:
            return 0
        state: dict[str, NDArray[Any]] = load_tensors(data[4 + length :])
    except (KakuriError, SafetensorError, KeyError):
        return 0  # a checkpoint only saves time
    learner.restore(state)
    return int(str(fields["epochs"]))


def _finish(job: Job, handoff: Handoff, learned: Learned, speaker: Speaker) -> None:
    """Calibrates, measures on the guard set, writes the model and the last record."""
    terms, stored, start = handoff.terms, handoff.guard(), handoff.head()
    old, trunk = len(terms.classes), Trunk(handoff.trunk_onnx(), terms.input)
    guard, labels = guard_features(stored, terms.recipe, trunk.features, terms.seed)
    before = counts(start, old, guard, labels)
    if learned.weights:
        from kakuri.personal.split import changed_trunk  # noqa: PLC0415  the model tools, where torch was loaded too

        changed = Trunk(changed_trunk(handoff.trunk_onnx(), learned.weights), terms.input)
        guard, labels = guard_features(stored, terms.recipe, changed.features, terms.seed)
    head = calibrated(learned.head, old, guard, job.target_false_personal, normal=job.method == "analytic")
    after = counts(head, old, guard, labels)
    arrays = {"weight": head.weight, "bias": head.bias}
    arrays |= {f"trunk:{name}": array for name, array in learned.weights.items()}
    write_sealed(Path(job.folder) / "model.sealed", _MODEL, job.key, tensors(arrays))
    usage = resource.getrusage(resource.RUSAGE_SELF)  # its peak memory would be the parent's, from before exec
    speaker.result(
        Report(
            general=after.general,
            correct_before=before.correct,
            correct_after=after.correct,
            false_personal=after.false_personal,
            peak_mebibytes=_peak_mebibytes(),
            cpu_seconds=round(usage.ru_utime + usage.ru_stime),
        )
    )


def _peak_mebibytes() -> int:
    """Largest resident memory of this program so far (VmHWM)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        found = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    return int(found[0]) // 1024 if found else 0
