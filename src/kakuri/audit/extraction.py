"""How much of a network comes out of generated code, level by level, beside the .tflite that an app would ship.

Purpose: ``extraction(net, ...)`` builds and compiles every level, lets every extraction attack loose on it, and gives
one table. Adversary: somebody who has the app's files, and, for attacks that are not static, who runs it on a device
of their own with the key in place.
Guarantees: the artefacts are those that ``kakuri build codegen`` makes, linked into its test program; the truth is the
plan's own weights. Every attack passes its self-test first, or is left out and named.
Does not guarantee: that nobody does better; a figure says what these programs found.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kakuri import codegen
from kakuri.attacks.extraction import ATTACKS, Artefact, Finding, Truth
from kakuri.attacks.extraction.known_layouts import found_in
from kakuri.codegen.examples import random_inputs
from kakuri.codegen.form import BY_PANEL, LEVELS, PERMUTED, SEALED
from kakuri.codegen.kernels.chain import Chain
from kakuri.codegen.kernels.integer.dot import Dot, padded
from kakuri.codegen.kernels.linear import Linear
from kakuri.codegen.program import Program
from kakuri.codegen.reference import evaluator
from kakuri.errors import KakuriError
from kakuri.trust import SeededRandomness, SystemEntropy

STATIC_LIMIT, MOMENT_LIMIT = 0.01, 0.05
"""What levels 3 and 4 promise: the share of weights that static attacks get, and that one moment of level 4 shows."""
_RUN_SECONDS, _QUESTIONS, _REBUILT, _FEWEST = 4.0, 32, 0.99, 32
Report = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One artefact. agreement: of the network rebuilt from what the layouts gave; minutes: of all attacks together."""

    artefact: str
    level: int | None
    findings: tuple[Finding, ...]
    agreement: float
    minutes: float

    @property
    def kept(self) -> bool:
        """Whether the level's promise held; levels below 3 promise nothing about the weights."""
        if self.level is None or self.level < SEALED:
            return True
        static = max(
            (item.recall for item in self.findings if item.static and ATTACKS[item.attack].weights), default=0.0
        )
        scanned = max((item.recall for item in self.findings if item.attack == "memory_scan"), default=0.0)
        return static <= STATIC_LIMIT and (self.level < BY_PANEL or scanned <= MOMENT_LIMIT)

    def to_dict(self) -> dict[str, Any]:
        found = [item.to_dict() for item in self.findings]
        return {"artefact": self.artefact, "level": self.level, "findings": found} | {
            "rebuilt_agreement": self.agreement,
            "attacker_minutes": self.minutes,
            "kept": self.kept,
        }


@dataclass(frozen=True)
class ExtractionReport:
    """left_out: attack -> why."""

    rows: tuple[Row, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(row.kept for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        return {"rows": [row.to_dict() for row in self.rows], "left_out": self.left_out, "ok": self.ok}


@dataclass(frozen=True)
class Subject:
    """An artefact, what is true of it, and the network whose parameters ``truth.own`` are."""

    artefact: Artefact
    truth: Truth
    net: ir.Model
    program: Program
    level: int | None


def extraction(
    net: ir.Model,
    *,
    model_file: Path | None = None,
    levels: Sequence[int] = LEVELS,
    target: str = "x86-64",
    randomness: SeededRandomness | None = None,
    report: Report = lambda line: None,
) -> ExtractionReport:
    """model_file: what an app would ship without Kakuri. Raises as ``codegen.plan`` and ``Source.compile``."""
    random = randomness or SeededRandomness(0)
    left_out = {}
    chosen = []
    for name, attack in ATTACKS.items():
        report(f"{name}: self-test")
        planted, _ = attack.planted(random.child(name).generator())
        reason = attack.why_not(planted)
        reached = 0.0 if reason else attack.self_test(random.child(name).generator())
        if reached >= attack.must_reach:
            chosen.append(attack)
        else:
            left_out[name] = reason or f"self-test reached {reached:.3f} of {attack.must_reach}"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in _subjects(net, model_file, levels, target, folder=Path(folder), random=random, report=report):
            findings = []
            for attack in chosen:
                report(f"{subject.artefact.name}: {attack.name}")
                if not attack.why_not(subject.artefact):
                    stream = random.child(subject.artefact.name).child(attack.name).generator()
                    findings.append(attack.run(subject.artefact, subject.truth, stream))
            agreement = rebuilt_agreement(net, subject, random)
            minutes = sum(item.seconds for item in findings) / 60
            rows.append(Row(subject.artefact.name, subject.level, tuple(findings), agreement, minutes))
    return ExtractionReport(tuple(rows), left_out)


def _subjects(
    net: ir.Model,
    model_file: Path | None,
    levels: Sequence[int],
    target: str,
    *,
    folder: Path,
    random: SeededRandomness,
    report: Report,
) -> Iterator[Subject]:
    plain = codegen.plan(net, target=target)
    tensors, layers = _parameters(plain.net), tuple(_layers(plain))
    names = tuple(node.name for node in net.graph if node.name and len(node.name) > 5)
    if model_file is not None:
        own = _parameters(net)
        truth = Truth(_float_words(own), own, own, layers, names)
        artefact = Artefact("model file", {model_file.name: model_file.read_bytes()})
        yield Subject(artefact, truth, net, plain.program, None)
    for level in levels:
        report(f"level {level}: building")
        key = SystemEntropy().draw(32) if level >= PERMUTED else None
        source = codegen.plan(net, target=target, protect=level, key=key).build(folder / str(level))
        own = _parameters(source.plan.net)
        words = np.frombuffer(source.plan.program.weights.blob(), "<u4")
        truth = Truth(words, tensors, own, layers, names)
        yield Subject(_artefact(source, random), truth, source.plan.net, source.plan.program, level)


def _artefact(source: codegen.Source, random: SeededRandomness) -> Artefact:
    """The compiled test program, and a command that lets it run for a few seconds."""
    folder = source.folder.resolve()
    program, plan = source.compile(folder), source.plan
    inputs = _questions(plan.program, 1, random)[0]
    (folder / "in").write_bytes(b"".join(array.tobytes() for array in inputs))
    (folder / "key").write_bytes(plan.key)
    rest = ["key"] if plan.form.sealed else []
    done = subprocess.run(
        [str(program), "in", "out", "1", *rest], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise KakuriError("KK-G22", "the program failed", got=f"exit {done.returncode} {done.stderr.strip()[:200]}")
    runs = max(1, math.ceil(_RUN_SECONDS / float(done.stdout.split()[0])))
    command = (str(program), "in", "out", str(runs), *rest)
    return Artefact(f"level {plan.protect}", {program.name: program.read_bytes()}, command, folder)


def _parameters(net: ir.Model) -> dict[str, NDArray[Any]]:
    found = {}
    for name, value in net.graph.initializers.items():
        if value.const_value is not None:
            array = np.asarray(value.const_value.numpy())
            if array.dtype in (np.float32, np.int8, np.uint8) and array.size > 1 and array.min() < array.max():
                found[name] = array
    return found


def _float_words(parameters: dict[str, NDArray[Any]]) -> NDArray[np.uint32]:
    parts = [array.reshape(-1).view("<u4") for array in parameters.values() if array.dtype == np.float32]
    return np.concatenate([*parts, np.zeros(0, "<u4")])


def _layers(plan: codegen.CodegenPlan) -> Iterator[tuple[int, int]]:
    """(inputs of an output, outputs), as the code counts them."""
    operations = plan.program.operations
    steps = [step for item in operations for step in (item.stages if isinstance(item, Chain) else (item,))]
    for step in steps:
        if isinstance(step, Linear):
            yield step.geometry.K, step.geometry.N
        elif isinstance(step, Dot):
            yield step.geometry.kh * step.geometry.kw * padded(step.geometry.len), step.geometry.N


def rebuilt_agreement(net: ir.Model, subject: Subject, random: SeededRandomness) -> float:
    """The share of equal answers of ``net`` and of the thief's copy: the structure as it is, each parameter that one of
    the published layouts gave, noise of the usual size for the others. An answer is the output that is highest above
    its own mean, so that a network which always prefers the same output gives nothing away."""
    content, noise = subject.artefact.content, random.child("noise").generator()
    copy = subject.net.clone()
    own = subject.truth.own
    integers = any(array.dtype != np.float32 and array.size >= _FEWEST for array in own.values())
    for name, array in own.items():
        if array.size >= _FEWEST and (array.dtype != np.float32) == integers and found_in(content, array) < _REBUILT:
            copy.graph.initializers[name].const_value = ir.tensor(_noise(array, noise))
    output = net.graph.outputs[0].name or ""
    names = subject.program.input_names
    asked = [dict(zip(names, arrays, strict=True)) for arrays in _questions(subject.program, _QUESTIONS, random)]
    answers = []
    for each in (net, copy):
        answer = evaluator(each, [output])
        answers.append(np.stack([answer(inputs)[0].reshape(-1) for inputs in asked]))
    ours, theirs = (found - found.mean(axis=0) for found in answers)
    return float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())


def _noise(array: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Of the shape and type of ``array``, and of the size that weights usually have."""
    if array.dtype == np.float32:
        fan_in = max(1, array.size // max(1, array.shape[0]))
        return (random.standard_normal(array.shape) / math.sqrt(fan_in)).astype(np.float32)
    spread = random.standard_normal(array.shape) * 40 + (0 if array.dtype == np.int8 else 128)
    limits = (-127, 127) if array.dtype == np.int8 else (0, 255)
    return np.clip(np.rint(spread), *limits).astype(array.dtype)


def _questions(program: Program, count: int, random: SeededRandomness) -> list[list[NDArray[Any]]]:
    stream = random.child("questions").generator()
    return [random_inputs(program, stream) for _ in range(count)]
