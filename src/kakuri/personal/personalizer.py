"""``open(...)``: the device's side.

Purpose: verify a package, let a confined process learn, install the result or roll back, use it.
Guarantees: the package's signature is verified before anything else is read from it; learning happens in a process
without network, other processes or any folder to write but one; a model that falls below the floor is not installed
and the one before stays; interrupting or killing either process at any moment loses no more than the last half second
and changes nothing of the result.
Does not guarantee: what ``threat.PERSONALISATION`` does not. Predicting runs in the caller's own process.
Errors: KK-P10 to KK-P13 the package, KK-P2x the device's folder, KK-P30 to KK-P32 the child, KK-P34 and KK-P35 use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.personal import channel, signature
from kakuri.personal.calibration import predict
from kakuri.personal.dataset import UInt8
from kakuri.personal.device import Device
from kakuri.personal.features import Float32, Trunk
from kakuri.personal.forms import SOLVED
from kakuri.personal.handoff import Handoff
from kakuri.personal.inputs.spec import InputSpec
from kakuri.personal.job import METHODS, Job
from kakuri.personal.linear import Head
from kakuri.personal.sealed import read_sealed, write_sealed
from kakuri.trust import sandbox

_INSTALLED = "model"
Photos = Path | str | UInt8
Notice = Callable[[float, str], None]


@dataclass(frozen=True)
class FitSettings:
    """method: ``analytic`` and ``head`` need no torch; ``last-layers``, ``full`` and ``lora`` need it and a form with
    pictures. None: ``analytic`` for the forms of ``forms.SOLVED``, else ``head``.

    epochs: None takes the method's own number. target_false_personal: of the guard set, at most. floor_points: so many
    percentage points of guard accuracy may be lost; more, and nothing is installed. memory_bytes: private memory the
    kernel grants the child. cpu_seconds: processor time it grants. seed: of the whole training.
    """

    method: str | None = None
    epochs: int | None = None
    target_false_personal: float = 0.01
    floor_points: float = 2.0
    memory_bytes: int | None = None
    cpu_seconds: int = 3600
    seed: int = 0

    def __post_init__(self) -> None:
        inside = (
            self.method in (None, *METHODS)
            and (self.epochs is None or 1 <= self.epochs <= 60000)
            and 0 <= self.target_false_personal < 1
            and 0 <= self.floor_points <= 100
            and self.cpu_seconds >= 1
            and 0 <= self.seed < 1 << 63
        )
        if not inside:
            limit = f"method {', '.join(METHODS)}; epochs 1..60000; rates 0..1; points 0..100"
            raise KakuriError("KK-P34", "settings out of bounds", got=asdict(self), limit=limit)


_EPOCHS = {"analytic": 1, "head": 60, "last-layers": 20, "full": 20, "lora": 20}
_MEMORY_BYTES = {"analytic": 384 << 20, "head": 384 << 20}
_TORCH_MEMORY_BYTES = 2 << 30


@dataclass(frozen=True)
class Outcome:
    """What training did. installed: False means rolled back. confinement: what was in force.

    guard_accuracy_before, guard_accuracy, false_personal_rate: on ``guard_samples`` held-out general samples, the same
    that calibrated the offset. channel_bits: at most so much could be said by the child.
    """

    installed: bool
    classes: tuple[str, ...]
    photos: int
    guard_samples: int
    guard_accuracy_before: float
    guard_accuracy: float
    false_personal_rate: float
    peak_bytes: int
    cpu_seconds: int
    channel_bits: int
    confinement: sandbox.Confinement

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes), "confinement": self.confinement.to_dict()}


@dataclass(frozen=True)
class _Trained:
    """What came back from the confined child, and how it was confined."""

    report: channel.Report
    confinement: sandbox.Confinement


def open(path: Path | str, publisher: Path | str | bytes | None = None, home: Path | str | None = None) -> Personalizer:
    """Verifies the package at ``path``.

    publisher: the server's .pub file or 32 bytes; the first one is pinned, after which it can be left out. home: the
    device's folder, ``device.default_home()`` by default. Raises KK-P10 to KK-P13, KK-P21 and KK-P22.
    """
    device = Device(home)
    given = signature.read_public(publisher) if isinstance(publisher, (str, Path)) else publisher
    public = device.publisher() if given is None else given
    handoff = Handoff.open(path, public, device.private_key)
    device.pin(public)
    return Personalizer(handoff, device)


class Personalizer:
    """One package on one device."""

    def __init__(self, handoff: Handoff, device: Device) -> None:
        self._handoff, self._place = handoff, device.place(handoff.digest)
        self._trunk: Trunk | None = None

    @property
    def general_classes(self) -> tuple[str, ...]:
        return self._handoff.terms.classes

    @property
    def input(self) -> InputSpec:
        return self._handoff.terms.input

    @property
    def personalised(self) -> bool:
        return self._place.personalised

    def fit(
        self,
        photos: Photos,
        labels: Sequence[str] | str | None = None,
        *,
        settings: FitSettings | None = None,
        notice: Notice | None = None,
    ) -> Outcome:
        """Learns ``photos`` and installs the result, unless guard accuracy falls below the floor.

        photos: a folder of files (its name is the class, or ``labels``), a folder of folders (their names are the
        classes), or samples (n, C, H, W) uint8 with one name in ``labels`` for each. A name that the package knows
        adapts that class; any other is a new one. notice: called with a share done and a text.
        """
        settings = settings or FitSettings()
        method = settings.method or ("analytic" if self._handoff.terms.form in SOLVED else "head")
        listed = self._listed(photos, labels)
        names = self.general_classes + tuple(sorted({name for _, name in listed} - set(self.general_classes)))
        numbers = {name: index for index, name in enumerate(names)}
        key = self._place.prepare()
        samples = photos if isinstance(photos, np.ndarray) else None
        with _sample_file(samples) as descriptor:
            job = Job(
                package=str(self._handoff.path.resolve()),
                digest=self._handoff.digest,
                folder=str(self._place.work.resolve()),
                photos=tuple((path, numbers[name]) for path, name in listed),
                classes=len(names),
                method=method,
                epochs=settings.epochs or _EPOCHS[method],
                target_false_personal=settings.target_false_personal,
                seed=settings.seed,
                key=key,
                content_key=self._handoff.content_key,
                array_descriptor=descriptor,
            )
            trained = _train(job, settings, _folders(listed), notice)
        return self._install(names, len(listed), trained, settings, job)

    def _install(
        self,
        names: tuple[str, ...],
        photos: int,
        trained: _Trained,
        settings: FitSettings,
        job: Job,
    ) -> Outcome:
        report = trained.report
        total = max(1, report.general)
        kept = 100 * (report.correct_before - report.correct_after) <= settings.floor_points * total
        if kept:
            model = read_sealed(self._place.work / "model.sealed", "model", job.key)
            head = strict_json.encode({"classes": list(names)})
            write_sealed(self._place.model, _INSTALLED, job.key, len(head).to_bytes(4, "big") + head + model)
        for name in ("model.sealed", "checkpoint.sealed"):
            (self._place.work / name).unlink(missing_ok=True)
        return Outcome(
            installed=kept,
            classes=names,
            photos=photos,
            guard_samples=report.general,
            guard_accuracy_before=report.correct_before / total,
            guard_accuracy=report.correct_after / total,
            false_personal_rate=report.false_personal / total,
            peak_bytes=report.peak_mebibytes << 20,
            cpu_seconds=report.cpu_seconds,
            channel_bits=channel.capacity_bits(job.epochs),
            confinement=trained.confinement,
        )

    def predict(self, photos: Photos) -> list[str]:
        """Class names, by the personalised model, or by the server's where there is none yet."""
        names, head, weights = self._model()
        samples = (
            photos if isinstance(photos, np.ndarray) else np.stack([self.input.read(p) for p in self._files(photos)])
        )
        said = predict(head, self._features(samples, weights))
        return [names[index] for index in said]

    def scores(self, samples: UInt8) -> tuple[tuple[str, ...], Float32]:
        """Class names and (n, classes) scores."""
        names, head, weights = self._model()
        return names, self._features(samples, weights) @ head.weight.T + head.bias

    def export(self, path: Path | str, *, weights_are_personal_data: bool) -> None:
        """Writes the personalised model as ONNX, in the clear. Raises KK-P35 unless the flag says that you know."""
        if not weights_are_personal_data:
            hint = "whoever gets the file can find out about the photos; pass weights_are_personal_data=True to export"
            raise KakuriError("KK-P35", "personalised weights are personal data", where=path, hint=hint)
        from kakuri.model.serialize import from_bytes, save  # noqa: PLC0415  the model tools, for this alone
        from kakuri.personal.split import with_head, with_weights  # noqa: PLC0415

        _, head, weights = self._model()
        save(with_head(with_weights(from_bytes(self._handoff.trunk_onnx()), weights), head), path)

    def forget(self) -> list[str]:
        """Destroys key and artefacts of this package; names of what was there."""
        return self._place.forget() if self._place.folder.exists() else []

    def close(self) -> None:
        self._handoff.close()

    def _model(self) -> tuple[tuple[str, ...], Head, Mapping[str, Float32]]:
        if not self._place.personalised:
            return self.general_classes, self._handoff.head(), {}
        data = read_sealed(self._place.model, _INSTALLED, self._place.key())
        length = int.from_bytes(data[:4], "big")
        fields = strict_json.decode(data[4 : 4 + length], "KK-P20", str(self._place.model))
        arrays = load_tensors(data[4 + length :])
        names = tuple(str(name) for name in fields["classes"])  # type: ignore[union-attr]
        weights = {name.removeprefix("trunk:"): array for name, array in arrays.items() if name.startswith("trunk:")}
        return names, Head(arrays["weight"], arrays["bias"]), weights

    def _features(self, samples: UInt8, weights: Mapping[str, Float32]) -> Float32:
        if weights:
            from kakuri.personal.split import changed_trunk  # noqa: PLC0415

            return Trunk(changed_trunk(self._handoff.trunk_onnx(), weights), self.input).features(samples)
        if self._trunk is None:
            self._trunk = Trunk(self._handoff.trunk_onnx(), self.input)
        return self._trunk.features(samples)

    def _files(self, photos: Path | str) -> list[Path]:
        path = Path(photos)
        return self.input.files(path) if path.is_dir() else [path]

    def _listed(self, photos: Photos, labels: Sequence[str] | str | None) -> list[tuple[str, str]]:
        """(path or nothing, class name) of every sample. Raises KK-P32 and KK-P34."""
        if isinstance(photos, np.ndarray):
            given = [labels] * len(photos) if isinstance(labels, str) else list(labels or ())
            if photos.dtype != np.uint8 or photos.shape[1:] != tuple(self.input.shape) or len(given) != len(photos):
                got = f"{photos.dtype} {photos.shape}, {len(given)} labels"
                raise KakuriError(
                    "KK-P34", "not samples of this model", got=got, limit=f"uint8 (n, {self.input.shape})"
                )
            return [("", name) for name in given]
        folder = Path(photos)
        if not folder.is_dir():
            raise KakuriError("KK-P32", "not a folder of photos", where=folder)
        inner = sorted(item for item in folder.iterdir() if item.is_dir())
        groups = {item.name: item for item in inner} or {str(labels or folder.resolve().name): folder}
        listed = [(str(path.resolve()), name) for name, item in groups.items() for path in self.input.files(item)]
        if not listed:
            limit = ", ".join(sorted(self.input.suffixes))
            raise KakuriError("KK-P32", "the folder holds nothing to learn from", where=folder, limit=limit)
        return listed


def _train(job: Job, settings: FitSettings, folders: Sequence[str], notice: Notice | None) -> _Trained:
    """Runs the confined child to its end."""
    memory = settings.memory_bytes or _MEMORY_BYTES.get(job.method, _TORCH_MEMORY_BYTES)
    policy = sandbox.Policy(
        read=(*sandbox.python_runtime(), job.package, *folders),
        write=job.folder,
        memory_bytes=memory,
        cpu_seconds=settings.cpu_seconds,
    )
    job_reader = _memory_file(job.to_json())
    reader, writer = os.pipe()
    kept = [job_reader, writer] + ([] if job.array_descriptor is None else [job.array_descriptor])
    try:
        child = sandbox.start("kakuri.personal.worker:main", policy, [str(job_reader), str(writer)], pass_fds=kept)
    finally:
        os.close(job_reader)
        os.close(writer)
    report: channel.Report | None = None
    with os.fdopen(reader, "rb", buffering=0) as stream:
        try:
            for said in channel.listen(stream, job.epochs):
                if isinstance(said, channel.Report):
                    report = said
                elif notice is not None:
                    notice((said.epoch + 1) / job.epochs, f"loss {said.loss:.1f}")
        except BaseException as error:
            if not (isinstance(error, KakuriError) and error.code == "KK-P31"):
                child.kill()
                raise
            child.wait()  # what the kernel did to it says more than its silence
            raise
    child.wait()
    assert report is not None
    return _Trained(report, child.confinement)


def _folders(listed: Sequence[tuple[str, str]]) -> list[str]:
    return sorted({str(Path(path).parent) for path, _ in listed if path})


def _memory_file(data: bytes) -> int:
    """A descriptor of a file in memory alone, at its start."""
    descriptor = os.memfd_create("kakuri", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@contextmanager
def _sample_file(samples: UInt8 | None) -> Iterator[int | None]:
    if samples is None:
        yield None
        return
    descriptor = _memory_file(np.ascontiguousarray(samples).tobytes())
    try:
        yield descriptor
    finally:
        os.close(descriptor)
