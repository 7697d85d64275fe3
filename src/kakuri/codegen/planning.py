"""Planning: everything about the C before it is written.

Purpose: prepare, check and lower the model; say what memory it needs and who sees what.
Guarantees: touches no file; every unsupported operator is named at once.
Does not guarantee: an estimate of time; ``kakuri bench codegen`` measures.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from kakuri.codegen.check import problems_of_prepared
from kakuri.codegen.emit import SIDE_BY_SIDE, Files, emit
from kakuri.codegen.form import LEVELS, WHAT, Form
from kakuri.codegen.lower import lower
from kakuri.codegen.prepare import prepare
from kakuri.codegen.program import Program
from kakuri.codegen.protect.draws import KEY_BYTES, Draws
from kakuri.codegen.protect.panels import cut
from kakuri.codegen.protect.permute import permute
from kakuri.codegen.shares import LARGEST_THREADS, share
from kakuri.codegen.source import Source
from kakuri.codegen.targets import Target, target_named
from kakuri.errors import KakuriError, Problem
from kakuri.trust.threats import CODE_GENERATION, CODE_GENERATION_SEALED, ThreatStatement
from kakuri.units import bytes_text, percent_text

_C_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_KEYWORDS = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "main",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
    ]
)


@dataclass(frozen=True)
class CodegenPlan:
    """Immutable; ``print`` it, compare ``to_dict()``, then ``build(folder)``. net: ``source`` after the passes."""

    name: str
    source: ir.Model = field(repr=False)
    net: ir.Model = field(repr=False)
    program: Program = field(repr=False)
    target: Target
    entry: str
    protect: int
    weights: str
    comments: bool = False
    key: bytes = field(default=b"", repr=False)
    threads: int = 1

    @property
    def form(self) -> Form:
        """How the weights reach the code."""
        return Form(self.weights == "external", self.protect, self.threads)

    def to_dict(self) -> dict[str, Any]:
        program = self.program
        return {
            "name": self.name,
            "entry": self.entry,
            "target": self.target.name,
            "instruction_sets": [isa.name for isa in self.target.isas],
            "protect": self.protect,
            "weights": self.weights,
            "threads": self.threads,
            "inputs": [_tensor(n, v) for n, v in zip(program.input_names, program.inputs, strict=True)],
            "outputs": [_tensor(n, v) for n, v in zip(program.output_names, program.outputs, strict=True)],
            "steps": len(program.operations),
            "weights_bytes": len(program.weights.blob()),
            "arena_bytes": program.arena_bytes,
            **({"window_bytes": program.arena_bytes - program.window_offset_bytes} if self.form.by_panel else {}),
            "who_sees_what": statement(self.form).to_dict(),
        }

    def __str__(self) -> str:
        d = self.to_dict()
        rows = [
            ("network", self.name),
            ("function", f"{self.entry}, {d['steps']} steps"),
            ("target", f"{self.target.name}: {', '.join(d['instruction_sets'])}"),
            *(("input", f"{t['name']} {t['dtype']} {tuple(t['shape'])}") for t in d["inputs"]),
            *(("output", f"{t['name']} {t['dtype']} {tuple(t['shape'])}") for t in d["outputs"]),
            ("weights", f"{bytes_text(d['weights_bytes'])}, {self.weights}"),
            ("memory", f"{bytes_text(d['arena_bytes'])} arena, given by the caller"),
            *([("threads", f"{self.threads}, of the caller's pool")] if self.form.shared else []),
            ("protection", f"level {self.protect}: {WHAT[self.protect]}"),
        ]
        if self.form.by_panel:
            share = d["window_bytes"] / max(1, d["weights_bytes"])
            rows.append(("plain at once", f"{bytes_text(d['window_bytes'])} of weights, {percent_text(share)}"))
        return "\n".join(f"{name:16} {value}" for name, value in rows) + "\n" + str(statement(self.form))

    def files(self) -> Files:
        """Every file of the project by name, as bytes."""
        return emit(self.program, self.target, self.entry, self.form, key=self.key, comments=self.comments)

    def build(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Source:
        """Write the project. Raises KK-F10 when it cannot, KK-F11 when a file exists and ``overwrite`` is false."""
        return Source.write(Path(folder), self.files(), self, overwrite=overwrite)


def plan(
    net: ir.Model,
    *,
    target: str = "x86-64",
    entry: str = "infer",
    protect: int = 0,
    weights: str = "embedded",
    comments: bool = False,
    key: bytes | None = None,
    threads: int = 1,
) -> CodegenPlan:
    """Plan the C for ``net``.

    target: a name of ``kakuri.codegen.targets``. entry: the C function's name, and the files' prefix. weights:
    "embedded" in the binary, or "external": the caller hands the blob to every call. comments: say before each step
    which layer it is. protect: a level of docs/codegen.md; each has what the ones below it have. key: 32 secret bytes,
    from level 2 on: they choose orders and scales, and from level 3 on they seal the weights too. threads: above 1, a
    second function cuts each step into so many shares for a pool of the caller's.

    Raises KK-G01 to KK-G18 for a network that has no C yet (all problems at once), KK-G02 for an unknown target, KK-G03
    for a level, a form of weights or a number of threads that does not exist, KK-G05 for a name that C does not allow,
    KK-G06 for a key that is missing, not needed, or not 32 bytes.
    """
    chosen = target_named(target)
    if protect not in LEVELS:
        raise KakuriError("KK-G03", "no such protection level", got=protect, limit=", ".join(map(str, LEVELS)))
    if weights not in SIDE_BY_SIDE:
        raise KakuriError("KK-G03", "weights can be", got=repr(weights), limit=", ".join(SIDE_BY_SIDE))
    if not _C_NAME.fullmatch(entry) or entry in _KEYWORDS:
        raise KakuriError("KK-G05", "not a usable function name", got=repr(entry), limit="letters, digits, underscores")
    form = Form(weights == "external", protect, threads)
    if type(threads) is not int or not 1 <= threads <= LARGEST_THREADS:
        raise KakuriError("KK-G03", "no such number of threads", got=repr(threads), limit=f"1 to {LARGEST_THREADS}")
    if form.by_panel and form.shared:
        raise KakuriError("KK-G03", f"level {protect} runs on one thread", got=f"threads={threads}", hint="protect=3")
    _check_key(form, key)
    prepared = prepare(net)
    found = problems_of_prepared(prepared)
    if found:
        raise KakuriError.collect([Problem(p.code, f"{p.op} {p.what}", where=p.node, hint=p.hint) for p in found])
    if form.permuted and key is not None:
        prepared = permute(prepared, Draws(key))
    program = lower(prepared, pairs=not form.by_panel)
    if form.permuted and key is not None:
        program.weights.arrange(Draws(key).permutation("order of arrays", len(program.weights)).tolist())
    if form.by_panel:
        cut(program)
    if form.shared:
        share(program, threads)
    chosen = chosen.for_dots() if program.multiplies_bytes else chosen
    return CodegenPlan(
        program.name, net, prepared, program, chosen, entry, protect, weights, comments, key or b"", threads
    )


def statement(form: Form) -> ThreatStatement:
    """Who sees what, in words."""
    return CODE_GENERATION_SEALED if form.sealed else CODE_GENERATION


def _check_key(form: Form, key: bytes | None) -> None:
    if (key is not None) != form.permuted:
        what = f"level {form.protect} needs a key" if key is None else f"level {form.protect} uses no key"
        raise KakuriError("KK-G06", what, hint="protect=2, 3 or 4 with key=32 random bytes, kept by you")
    if key is not None and (not isinstance(key, bytes) or len(key) != KEY_BYTES):
        raise KakuriError("KK-G06", "not a key for weights", limit=f"{KEY_BYTES} bytes")


def _tensor(name: str, view: Any) -> dict[str, Any]:
    return {"name": name, "dtype": view.element.name, "shape": list(view.shape), "bytes": view.storage.size_bytes}
