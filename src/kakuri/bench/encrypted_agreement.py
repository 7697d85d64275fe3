"""Labels of encrypted inference against those in the clear, over many test images.

Purpose: what ``--agreement N`` measures. Every image is encrypted, answered and decrypted as a client would; its label
is compared with ONNX Runtime's and with the true one.
Guarantees: resumable. An answer is appended to the record as soon as it is there; a record belongs to one plan and one
file of weights, an answer in it to one image's content. Figures of time are of this run only.
Does not guarantee: one client's keys over a resumed run; each run makes its own.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import encrypted, model
from kakuri.bench.encrypted_case import Subject, plan_for
from kakuri.bench.rows import Options, Row
from kakuri.zoo.data.folders import cache_folder

REPORT_EVERY = 100


@dataclass(frozen=True)
class _Answer:
    """Of one image. error: the largest difference of a score from the one in the clear."""

    label: int
    error: float


class Record:
    """Answers by image (a hash), one JSON line each. A last line cut short by a crash is dropped."""

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, _Answer] = {}
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        for line in lines:
            entry = json.loads(line)
            self.answers[entry["image"]] = _Answer(entry["label"], entry["error"])
        path.write_bytes(b"".join(line + b"\n" for line in lines))

    def add(self, image: str, answer: _Answer) -> None:
        self.answers[image] = answer
        line = json.dumps({"image": image, "label": answer.label, "error": answer.error})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def agreement(subject: Subject, options: Options) -> Row:
    """One row over all of the subject's images. The record lies in the cache folder's ``bench``."""
    options.report(f"{subject.name}: planning")
    plan = plan_for(subject.weights, options.settings.get("packing", "auto"), subject.calibration)
    options.report(f"{subject.name}: {len(subject.images)} images in the clear")
    expected = model.reference_outputs(plan.net, subject.images).astype(np.float64)
    path = cache_folder() / "bench" / f"agreement-{_digest(plan, subject)}.jsonl"
    record = Record(path)
    names = [_hash(image.tobytes()) for image in subject.images]
    open_images = [i for i, name in enumerate(names) if name not in record.answers]
    cpu: list[float] = []
    for image, answer, seconds in _answered(subject, plan, expected, open_images, options.threads):
        record.add(names[image], answer)
        cpu.append(seconds)
        done = len(names) - len(open_images) + len(cpu)
        if done % REPORT_EVERY == 0:
            options.report(f"{subject.name}: {done} of {len(names)} images")
    figures = _figures(subject, expected, [record.answers[name] for name in names])
    figures["resumed_images"] = len(names) - len(open_images)
    if cpu:
        figures |= {"cpu_seconds": statistics.median(cpu), "cpu_min_seconds": min(cpu)}
    return Row("kakuri", subject.name, {"packing": plan.recipe.packing, **figures})


def _answered(
    subject: Subject,
    plan: encrypted.EncryptedPlan,
    expected: NDArray[np.float64],
    images: list[int],
    threads: int,
) -> Iterator[tuple[int, _Answer, float]]:
    """Image, answer and the server's CPU seconds, an equal share of the query's for each of its images."""
    if not images:
        return
    client, server = plan.build(threads=threads)
    capacity = client.deployment.capacity
    for first in range(0, len(images), capacity):
        chosen = images[first : first + capacity]
        query = client.encrypt(subject.images[chosen]).to_bytes()
        start = time.process_time()
        reply = server.run(encrypted.Query.from_bytes(query)).to_bytes()
        seconds = (time.process_time() - start) / len(chosen)
        for image, values in zip(chosen, client.decrypt(encrypted.Answer.from_bytes(reply)), strict=True):
            yield image, _Answer(int(values.argmax()), float(np.abs(values - expected[image]).max())), seconds


def _figures(subject: Subject, expected: NDArray[np.float64], answers: list[_Answer]) -> dict[str, Any]:
    labels = np.asarray([answer.label for answer in answers])
    clear = expected.argmax(1)
    return {
        "images": len(labels),
        "agreement_percent": 100.0 * float((labels == clear).mean()),
        "encrypted_accuracy_percent": 100.0 * float((labels == subject.labels).mean()),
        "plaintext_accuracy_percent": 100.0 * float((clear == subject.labels).mean()),
        "largest_error": max(answer.error for answer in answers),
    }


def _digest(plan: encrypted.EncryptedPlan, subject: Subject) -> str:
    """Names the record: everything an answer depends on but the image and the keys."""
    recipe = json.dumps([plan.recipe.to_dict(), plan.deployment.precision_bits], sort_keys=True).encode()
    return _hash(hashlib.sha256(recipe).digest() + subject.weights.read_bytes())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
