"""One network on encrypted images: ours and a peer, image by image in turns.

Purpose: what ``encrypted-mnist`` and ``encrypted-cifar10`` share. The peer is seal-python with the same circuit where
the packing is channel-wise, Orion with the same network where the planner chose, none for batch packing. Latency of
ours runs from query bytes to answer bytes; the peer's from ciphertexts to ciphertexts, plaintexts encoded beforehand.
Labels are compared with ONNX Runtime's on the same images.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import _ckks, encrypted, model
from kakuri.bench.environment import default_folder, peer_python
from kakuri.bench.orion_job import write_orion_job
from kakuri.bench.rows import Options, Row
from kakuri.bench.worker import Worker
from kakuri.encrypted import program as p
from kakuri.encrypted.calibration import measure_again
from kakuri.encrypted.execute import Profile

DOCUMENT_LOG_N = 14  # the document's 8,192 slots


@dataclass(frozen=True)
class Subject:
    """A network and inputs. images, calibration: (n, c, h, w) float32 as the network takes them. labels: (n,)."""

    name: str
    weights: Path
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    calibration: NDArray[np.float32]


_COUNTERS = ("hmulplain", "hsquare", "relinearize", "rescale")


@dataclass(frozen=True)
class _Case:
    """One network on one set of images. expected: (n, 10) ONNX Runtime's scores."""

    name: str
    plan: encrypted.EncryptedPlan
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    expected: NDArray[Any]


def measure(subject: Subject, options: Options) -> list[Row]:
    """Ours, and the peer's row where there is one."""
    packing = options.settings.get("packing", "auto")
    plan = plan_for(subject.weights, packing, subject.calibration)
    if plan.recipe.packing == "batch":
        most = plan.deployment.capacity
        subject = replace(subject, images=subject.images[:most], labels=subject.labels[:most])
    case = _Case(subject.name, plan, subject.images, subject.labels, model.reference_outputs(plan.net, subject.images))
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        np.savez(job / "images.npz", images=subject.images, calibration=subject.calibration)
        (job / "ours.json").write_text(
            json.dumps({"weights": str(subject.weights), "packing": packing, "threads": options.threads}),
            encoding="utf-8",
        )
        ours = Worker([sys.executable, "-m", "kakuri.bench.ours_encrypted", job], options.threads)
        if plan.recipe.packing == "batch":
            return [_all_at_once(case, ours, options)]
        peer, script = ("seal-python", "seal_program.py") if packing == "channel" else ("orion-fhe", "orion_program.py")
        if packing == "channel":
            export_program(plan, job, subject.images[: options.runs])
        elif packing == "auto":
            write_orion_job(plan.network, subject.images[: options.runs], subject.calibration, job)
        else:
            return [_one_by_one(case, ours, options)]
        path = Path(__file__).with_name("peers") / script
        theirs = Worker([peer_python(default_folder(), options.report), path, job], options.threads)
        return _in_turns(case, ours, theirs, peer, options)


def plan_for(weights: Path, packing: str, calibration: NDArray[np.float32]) -> encrypted.EncryptedPlan:
    """The benchmark's plan; the document's packing in the document's ring."""
    log_n = DOCUMENT_LOG_N if packing == "channel" else None
    return encrypted.plan(
        model.load(weights), packing=packing, calibration=calibration, log_n=log_n, drop_unneeded=False
    )


def _one_by_one(case: _Case, ours: Worker, options: Options) -> Row:
    answers: list[dict[str, Any]] = []
    with ours as a:
        for i in range(len(case.images)):
            answers.append(a.run(i))
            options.report(f"{case.name}: image {i + 1} of {len(case.images)}")
        summary = a.finish()
    return Row("kakuri", case.name, _our_figures(case, answers, ours.ready, summary))


def _in_turns(case: _Case, ours: Worker, peer: Worker, name: str, options: Options) -> list[Row]:
    answers: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    options.report(f"{case.name}: setting up {name} (plaintexts are encoded before the clock starts)")
    with ours as a, peer as b:
        for i in range(len(case.images)):
            answers.append(a.run(i))
            if i < options.runs:
                theirs.append(b.run(i))
            options.report(f"{case.name}: image {i + 1} of {len(case.images)}")
        our_summary, their_summary = a.finish(), b.finish()
    figures = _our_figures(case, answers, ours.ready, our_summary)
    other = timing([x["seconds"] for x in theirs]) | {
        "images": len(theirs),
        "label_agreement_percent": _agreement(np.asarray([x["values"] for x in theirs]), case.expected),
        "peak_bytes": their_summary["peak_bytes"],
        "setup_seconds": peer.ready["setup_seconds"],
    }
    figures["ratio"] = other["latency_seconds"] / figures["latency_seconds"]
    return [Row("kakuri", case.name, figures), Row(name, case.name, other)]


def _all_at_once(case: _Case, ours: Worker, options: Options) -> Row:
    """All images in one query, ``runs`` times; labels are those of the last."""
    replies: list[dict[str, Any]] = []
    with ours as a:
        for i in range(options.runs):
            replies.append(a.run(-1))
            options.report(f"{case.name}: query {i + 1} of {options.runs}, {len(case.images)} images each")
        summary = a.finish()
    answers = [{"values": values} for values in replies[-1]["values"]]
    return Row("kakuri", case.name, _our_figures(case, answers, ours.ready, summary, replies))


def timing(seconds: list[float]) -> dict[str, Any]:
    """Figures of latency."""
    return {
        "latency_seconds": statistics.median(seconds),
        "latency_min_seconds": min(seconds),
        "latency_max_seconds": max(seconds),
    }


def _agreement(values: NDArray[Any], expected: NDArray[Any]) -> float:
    """Percent of labels that equal those computed in the clear."""
    return 100.0 * float((values.argmax(1) == expected[: len(values)].argmax(1)).mean())


def _our_figures(
    case: _Case,
    answers: list[dict[str, Any]],
    ready: dict[str, Any],
    summary: dict[str, Any],
    queries: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """queries: what was timed, where one query holds all answers."""
    values = np.asarray([x["values"] for x in answers])
    timed, together = (answers, 1) if queries is None else (queries, len(answers))
    latency = timing([x["seconds"] for x in timed])
    measure_again()  # the prediction is of the machine as it is now
    predicted = case.plan.to_dict()
    counts = summary["counts"]
    return {
        "packing": case.plan.recipe.packing,
        **latency,
        "cpu_seconds": statistics.median(x["cpu_seconds"] for x in timed),
        "images": len(answers),
        "images_per_query": together,
        "images_per_second": together / latency["latency_seconds"],
        "label_agreement_percent": _agreement(values, case.expected),
        "accuracy_percent": 100.0 * float((values.argmax(1) == case.labels).mean()),
        "largest_error": float(np.abs(values - case.expected).max()),
        **{name: counts.get(name, 0) for name in _COUNTERS},
        "rotation": counts.get("rotation", 0) + counts.get("rotation_identity", 0),
        "rotation_identity": counts.get("rotation_identity", 0),
        "mask_multiply": counts.get("mask_multiply", 0),
        "query_bytes": summary["query_bytes"],
        "answer_bytes": summary["answer_bytes"],
        "evaluation_key_bytes": summary["evaluation_key_bytes"],
        "peak_bytes": summary["peak_bytes"],
        "setup_seconds": ready["setup_seconds"],
        "predicted_latency_seconds": predicted["estimated_seconds"],
        "predicted_peak_bytes": predicted["memory_bytes"],
        **{f"predicted_{name}": predicted[name] for name in ("query_bytes", "answer_bytes", "evaluation_key_bytes")},
    }


def export_program(plan: encrypted.EncryptedPlan, folder: Path, images: NDArray[np.float32]) -> None:
    """program.json and arrays.npz for ``peers/seal_program.py``."""
    chain, program = plan.recipe.chain, plan.compiled.program
    arrays: dict[str, NDArray[Any]] = {
        "packed": np.stack([plan.compiled.input.pack(image[None].astype(np.float64), chain.slots) for image in images])
    }
    steps = [
        {**_exported(i, instruction, plan, arrays), "dead": list(dead)}
        for i, (instruction, dead) in enumerate(zip(program.instructions, program.last_use(), strict=True))
    ]
    bits = [round(float(np.log2(q))) for q in chain.moduli]
    spare = _ckks.ntt_primes(chain.log_n, [*bits, *(49 for _ in chain.special_moduli), 49])
    job = {
        "slots": chain.slots,
        "moduli": list(chain.moduli),
        "special_modulus": next(q for q in reversed(spare) if q not in chain.moduli),
        "scale": chain.scale,
        "rotations": list(program.rotations),
        "inputs": list(program.inputs),
        "outputs": list(program.outputs),
        "instructions": steps,
    }
    (folder / "program.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]


def _exported(
    index: int, instruction: p.Instruction, plan: encrypted.EncryptedPlan, arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """An instruction as plain data; arrays by name, levels and scales of its operands and result spelt out."""
    program = plan.compiled.program
    step: dict[str, Any] = {"op": type(instruction).__name__}
    for field in fields(instruction):
        value = getattr(instruction, field.name)
        step[field.name] = list(value) if isinstance(value, tuple) else value
    source = program.registers[next(p.reads(instruction))]
    target = program.registers[p.writes(instruction)[0]]
    step["level"] = target.level if isinstance(instruction, p.DropToLevel) else source.level
    step["result_scale"] = target.scale
    match instruction:
        case p.LinearCombination(_, weights, weight_scale, mask, _):
            step["weights"], step["mask"] = f"weights{index}", f"mask{index}"
            arrays[step["weights"]] = weights
            arrays[step["mask"]] = np.ones(plan.recipe.chain.slots) if mask is None else program.plains[mask].values
            step["scale"] = weight_scale * (1.0 if mask is None else program.plains[mask].scale)
        case p.MultiplyPlain(_, plain, _) | p.AddPlain(_, plain, _):
            step["values"], step["scale"] = f"plain{plain}", program.plains[plain].scale
            arrays[step["values"]] = program.plains[plain].values
        case p.AddScalar():
            step["scale"] = source.scale
        case _:
            pass
    return step


def profile_counts(profile: Profile) -> dict[str, int]:
    """Total operation counts of one answered query."""
    return dict(profile.total())
