"""Encrypted MNIST inference: ours, and the same circuit on seal-python, image by image in turns.

Settings: ``packing`` (channel), ``images`` (100), ``network`` (3layer-CNN). Cases are ``3layer-CNN/square`` and so on.
Latency of ours runs from query bytes to answer bytes; the peer's from ciphertexts to ciphertexts, plaintexts encoded
beforehand. Labels are compared with ONNX Runtime's on the same images.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kakuri import _ckks, encrypted, model, zoo
from kakuri.bench.environment import default_folder, peer_python
from kakuri.bench.rows import Options, Row
from kakuri.bench.worker import Worker
from kakuri.encrypted import program as p
from kakuri.encrypted.execute import Profile

ACTIVATIONS = ("square", "swish-rg5-deg2", "swish-rg7-deg4")
DOCUMENT_LOG_N = 14  # the document's 8,192 slots
_COUNTERS = ("hmulplain", "hsquare", "relinearize", "rescale")


def run(options: Options) -> list[Row]:
    """Two rows per case: ours and, for channel-wise packing, seal-python's."""
    cases = [f"3layer-CNN/{a}" for a in ACTIVATIONS]
    rows: list[Row] = []
    for case in cases:
        if options.case in case:
            rows += _case(case, options)
    return rows


def _case(case: str, options: Options) -> list[Row]:
    packing = options.settings.get("packing", "auto")
    count = int(options.settings.get("images", "100"))
    sample = zoo.samples.mnist_sample()
    images, labels = sample.images[:count], sample.labels[:count]
    weights = zoo.weights.path(f"mnist-3layer-{case.split('/')[1]}")
    plan = plan_for(weights, packing)
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        np.savez(job / "images.npz", images=images)
        (job / "ours.json").write_text(
            json.dumps({"weights": str(weights), "packing": packing, "threads": options.threads}), encoding="utf-8"
        )
        ours = Worker([sys.executable, "-m", "kakuri.bench.ours_encrypted", job], options.threads)
        if plan.recipe.packing != "channel":
            return [_ours_alone(case, ours, plan, images, labels, options)]
        export_program(plan, job, images[: options.runs])
        script = Path(__file__).with_name("peers") / "seal_program.py"
        peer = Worker([peer_python(default_folder(), options.report), script, job], options.threads)
        return _in_turns(case, ours, peer, plan, images, labels, options)


def plan_for(weights: Path, packing: str) -> encrypted.EncryptedPlan:
    """The benchmark's plan: calibrated on the shipped sample, in the document's ring."""
    calibration = zoo.samples.mnist_sample().images
    return encrypted.plan(
        model.load(weights), packing=packing, calibration=calibration, log_n=DOCUMENT_LOG_N, drop_unneeded=False
    )


def _in_turns(
    case: str,
    ours: Worker,
    peer: Worker,
    plan: encrypted.EncryptedPlan,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    options: Options,
) -> list[Row]:
    answers: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    options.report(f"{case}: setting up seal-python (plaintexts are encoded before the clock starts)")
    with ours as a, peer as b:
        for i in range(len(images)):
            answers.append(a.run(i))
            if i < options.runs:
                theirs.append(b.run(i))
            options.report(f"{case}: image {i + 1} of {len(images)}")
        our_summary, their_summary = a.finish(), b.finish()
    row = _our_row(case, answers, ours.ready, our_summary, plan, images, labels)
    latency = statistics.median(x["seconds"] for x in theirs)
    expected = model.reference_outputs(plan.net, images[: options.runs])
    agree = sum(int(np.argmax(x["values"]) == np.argmax(e)) for x, e in zip(theirs, expected, strict=True))
    seal = Row(
        "seal-python",
        case,
        {
            "latency_seconds": latency,
            "latency_min_seconds": min(x["seconds"] for x in theirs),
            "latency_max_seconds": max(x["seconds"] for x in theirs),
            "runs": len(theirs),
            "label_agreement_percent": 100.0 * agree / len(theirs),
            "peak_bytes": their_summary["peak_bytes"],
            "setup_seconds": b.ready["setup_seconds"],
        },
    )
    return [Row(row.system, row.case, {**row.figures, "ratio": latency / float(row.figures["latency_seconds"])}), seal]


def _ours_alone(
    case: str,
    ours: Worker,
    plan: encrypted.EncryptedPlan,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    options: Options,
) -> Row:
    with ours as a:
        answers = [a.run(-1)]
        summary = a.finish()
    values = np.asarray(answers[0]["values"])
    flat = [{"seconds": answers[0]["seconds"], "values": row} for row in values]
    return _our_row(case, flat, ours.ready, summary, plan, images, labels)


def _our_row(
    case: str,
    answers: list[dict[str, Any]],
    ready: dict[str, Any],
    summary: dict[str, Any],
    plan: encrypted.EncryptedPlan,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Row:
    values = np.asarray([x["values"] for x in answers])
    expected = model.reference_outputs(plan.net, images)
    counts = summary["counts"]
    seconds = [x["seconds"] for x in answers]
    return Row(
        "kakuri",
        case,
        {
            "packing": plan.recipe.packing,
            "latency_seconds": statistics.median(seconds),
            "latency_min_seconds": min(seconds),
            "latency_max_seconds": max(seconds),
            "images": len(answers),
            "label_agreement_percent": 100.0 * float((values.argmax(1) == expected.argmax(1)).mean()),
            "accuracy_percent": 100.0 * float((values.argmax(1) == labels).mean()),
            "largest_error": float(np.abs(values - expected).max()),
            **{name: counts.get(name, 0) for name in _COUNTERS},
            "rotation": counts.get("rotation", 0) + counts.get("rotation_identity", 0),
            "rotation_identity": counts.get("rotation_identity", 0),
            "mask_multiply": counts.get("mask_multiply", 0),
            "query_bytes": summary["query_bytes"],
            "answer_bytes": summary["answer_bytes"],
            "evaluation_key_bytes": summary["evaluation_key_bytes"],
            "peak_bytes": summary["peak_bytes"],
            "setup_seconds": ready["setup_seconds"],
        },
    )


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
