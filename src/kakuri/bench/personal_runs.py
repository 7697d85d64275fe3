"""Runs of the experiments on faces: one device with one hand-off, and the document's curves.

Purpose: `device_run` goes the product's whole way (plan, build, open, fit in the confined child, predict); `curve` is
the document's way, resuming with a share of the general data and measuring after every epoch.
Guarantees: a run's result is a function of its arguments; it is kept as JSON in the runs folder and not made again.
Processor seconds are the kernel's count for the child (`device_run`) or for training alone (`curve`).
Does not guarantee: the document's seconds; the processor is this machine's.
Source: S2, 3.3 and figures 2 to 5.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

import kakuri as kk
from kakuri import personal
from kakuri.bench.personal_protocol import (
    PERSON,
    SERVER_RECIPE,
    SPEC,
    VIEWS,
    Faces,
    Measures,
    face_cnn,
    measure,
)
from kakuri.files import atomic_write
from kakuri.model.to_torch import to_torch
from kakuri.personal.calibration import predict
from kakuri.personal.dataset import Int64, UInt8
from kakuri.personal.features import Float32, Trunk
from kakuri.personal.learners.deep import DeepLearner
from kakuri.personal.split import changed_trunk, split
from kakuri.trust.entropy import SeededRandomness
from kakuri.zoo.training import Augmentation, EpochReport, Source, train

CURVE_EPOCHS = 12


@dataclass(frozen=True)
class Mode:
    """A way to hand down and to learn; budget_percent None: everything."""

    name: str
    plan: personal.PlanSettings
    fit: personal.FitSettings
    budget_percent: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _plan(form: str, **changes: Any) -> personal.PlanSettings:
    return personal.PlanSettings(form=form, simulated_classes=0, **changes)


#: The third of four pooled maps: the last one that still tells an unknown person apart.
LAYER = "features.features.11"
#: best: what is recommended; resume-100: the document's way with everything handed down, the ceiling.
MODES = (
    Mode("best", _plan("compressed", layer=LAYER, cells=6), personal.FitSettings(), budget_percent=5.0),
    Mode("resume-100", _plan("augmented"), personal.FitSettings(method="full", epochs=CURVE_EPOCHS, floor_points=100)),
)


@dataclass(frozen=True)
class DeviceRun:
    """What one device got and did. Seconds are of processor time, without prediction."""

    measures: dict[str, float]
    share_of_bytes: float
    handed_bytes: int
    cpu_seconds: float
    peak_bytes: int
    installed: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class CurvePoint:
    """After one epoch: processor seconds spent on training so far, and the measures."""

    cpu_seconds: float
    measures: Measures


@dataclass(frozen=True)
class Curve:
    """share: of the general data handed down, 0 to 1; None: from scratch with all of it.

    mirrored: after the last epoch, when a test photo's and its mirror image's scores are averaged, as ``best`` does.
    """

    share: float | None
    points: tuple[CurvePoint, ...]
    mirrored: Measures

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The JSON object at ``path``, made and written when there is none."""
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(made).encode())
    return made


@dataclass(frozen=True)
class Task:
    """What a device is to learn. own, own_names: personal samples and the names of their classes.

    measure: labels (n,) given to the test samples, general classes in their order and new ones behind, to figures.
    """

    general: personal.GeneralData
    own: UInt8
    own_names: tuple[str, ...]
    test: UInt8
    spec: personal.InputSpec
    views: personal.Recipe
    measure: Callable[[Int64], dict[str, float]]


def task_of(data: Faces) -> Task:
    """Learning the personal one's face."""

    def measured(said: Int64) -> dict[str, float]:
        return measure(said, data).to_dict()

    return Task(data.general, data.own, (PERSON,) * len(data.own), data.test, SPEC, VIEWS, measured)


def device_run(mode: Mode, task: Task, model: ir.Model, seed: int) -> DeviceRun:
    """The product's whole way, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="kakuri-device-") as name:
        folder = Path(name)
        settings = personal.PlanSettings(**{**asdict(mode.plan), "seed": seed})
        plan = personal.plan(
            model,
            task.general,
            budget_percent=mode.budget_percent,
            input=task.spec,
            recipe=task.views,
            settings=settings,
        )
        package = plan.build(folder / "general.kkr")
        device = personal.open(package, folder / "publisher.pub", home=folder / "device")
        before = _child_seconds()
        fit = personal.FitSettings(**{**asdict(mode.fit), "seed": seed})
        outcome = device.fit(task.own, task.own_names, settings=fit)
        spent = _child_seconds() - before
        _, scores = device.scores(task.test)  # the general classes alone where training was rolled back
        device.close()
    measures = task.measure(scores.argmax(axis=1))
    return DeviceRun(measures, plan.share, plan.handed_bytes, spent, outcome.peak_bytes, outcome.installed)


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def curve(share: float | None, data: Faces, model: ir.Model, seed: int) -> Curve:
    """Training of all layers with all views of ``share`` of the general photos, class-balanced, and all personal ones.

    None is training from scratch with everything, by the server's own recipe. No calibration and no guard set: the
    document has neither.
    """
    return _scratch(data, seed) if share is None else _resumed(share, data, model, seed)


def _resumed(share: float, data: Faces, model: ir.Model, seed: int) -> Curve:
    random = SeededRandomness(seed, f"curve {share}")
    pictures, labels = _training_views(share, data, random)
    parts = split(model)
    learner = DeepLearner(
        to_torch(parts.trunk),
        pictures,
        labels,
        parts.head,
        data.people + 1,
        method="full",
        epochs=CURVE_EPOCHS,
        spec=SPEC,
        mirror=VIEWS.flip,
        randomness=random,
    )
    points: list[CurvePoint] = []
    spent = 0.0
    for epoch in range(CURVE_EPOCHS):
        started = time.process_time()
        learner.epoch(epoch)
        spent += time.process_time() - started
        learned = learner.learned()
        trunk = Trunk(changed_trunk(kk.model.to_bytes(parts.trunk), learned.weights), SPEC)
        points.append(CurvePoint(spent, measure(predict(learned.head, trunk.features(data.test)), data)))
    both = (trunk.features(data.test) + trunk.features(data.test[..., ::-1])) * np.float32(0.5)
    return Curve(share, tuple(points), measure(predict(learned.head, both), data))


def _scratch(data: Faces, seed: int) -> Curve:
    """The server's recipe, with batch normalisation's own statistics, on one class more."""
    torch.manual_seed(seed)
    module = face_cnn(data.people + 1)
    pictures, labels = _training_views(1.0, data, SeededRandomness(seed, "curve scratch"))
    source = Source(torch.from_numpy(pictures), torch.from_numpy(labels), Augmentation(flip=VIEWS.flip))
    test = torch.from_numpy(SPEC.normalize(data.test))
    points: list[CurvePoint] = []
    paused = 0.0
    started = time.process_time()

    def observe(report: EpochReport) -> None:
        nonlocal paused
        now = time.process_time()
        points.append(CurvePoint(now - started - paused, measure(_scores(module, test).argmax(axis=1), data)))
        paused += time.process_time() - now

    train(module, source, replace(SERVER_RECIPE, epochs=CURVE_EPOCHS), seed=seed, observe=observe)
    straight, mirrored = _scores(module, test), _scores(module, test.flip(3))  # with the averaged weights
    points[-1] = replace(points[-1], measures=measure(straight.argmax(axis=1), data))
    return Curve(None, tuple(points), measure((straight + mirrored).argmax(axis=1), data))


def _scores(module: torch.nn.Module, test: torch.Tensor) -> Float32:
    module.eval()
    with torch.no_grad():
        scores: Float32 = module(test).numpy()
    module.train()
    return scores


def _training_views(share: float, data: Faces, random: SeededRandomness) -> tuple[UInt8, Int64]:
    """All views of a share of the general photos and of the personal ones."""
    samples, labels = data.general.part(held_out=False)
    chosen = _balanced_share(labels, share, random.child("choice").generator())
    pictures = np.concatenate([samples[chosen], data.own])
    repeated = np.concatenate([labels[chosen], np.full(len(data.own), data.people)])
    return VIEWS.expand(pictures, random.child("views").generator()), np.repeat(repeated, VIEWS.views)


def _balanced_share(labels: Int64, share: float, generator: np.random.Generator) -> Int64:
    """Indices of ``share`` of every class, rounded to whole photos."""
    groups = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.sort(np.concatenate([group[: round(share * len(group))] for group in groups]))
