"""Planning: which layers go inside, what memory they take, who sees what.

Purpose: ``plan(net, layers="5:10")`` and ``EnclavePlan.build``.
Guarantees: nothing is written and no key is touched before ``build``; a partition that does not fit the secure memory
    is refused with both figures and the largest layer.
Does not guarantee: that hiding these layers hides the model; measure the leak of a cut before trusting it.
Errors: KK-W01 does not fit the secure memory, KK-W02 not a size, KK-W03 the generated blob is not covered, and those of
``passes.partition`` and ``kakuri.codegen``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from kakuri import codegen, model
from kakuri.codegen import CodegenPlan
from kakuri.codegen.program import Operation
from kakuri.codegen.views import Kind, View
from kakuri.enclave.compiling import code_digest, compile_worker
from kakuri.enclave.index import Index, Tensor, check_layout
from kakuri.enclave.sealed import Crossing, Facts, new_package_id, outside_files_digest, write_sealed
from kakuri.errors import KakuriError
from kakuri.model.graph import static_shape
from kakuri.model.passes import Partition, partition
from kakuri.strict_json import Json
from kakuri.trust.device_key import Recipient
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.signing import Signer
from kakuri.trust.threats import ENCLAVE
from kakuri.trust.wrapping_key import WrappingKey
from kakuri.units import bytes_text

ENTRY = "kk_infer"
_SIZE = re.compile(r"([0-9]{1,12}) ?(bytes|KiB|MiB|GiB)?")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class EnclavePlan:
    """Immutable; ``print`` it, then ``build``. secure_bytes: what the inner network takes of ``budget_bytes``."""

    net: ir.Model = field(repr=False)
    cut: Partition = field(repr=False)
    code: CodegenPlan = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    facts: Facts
    budget_bytes: int

    def to_dict(self) -> dict[str, Json]:
        facts = self.facts
        return {
            "network": facts.network,
            "layers": facts.layers,
            "entering": [item.to_json() for item in facts.entering],
            "leaving": [item.to_json() for item in facts.leaving],
            "sealed_tensors": len(self.tensors),
            "sealed_bytes": sum(tensor.size_bytes for tensor in self.tensors),
            "secure_bytes": facts.secure_bytes,
            "budget_bytes": self.budget_bytes,
            "largest_layer": facts.largest_layer,
            "who_sees_what": ENCLAVE.to_dict(),
        }

    def __str__(self) -> str:
        facts = self.facts
        sealed = sum(tensor.size_bytes for tensor in self.tensors)
        rows = [
            ("network", facts.network),
            ("inside", f"layers {facts.layers}"),
            *(("enters", f"{item.name} {item.dtype} {item.shape}") for item in facts.entering),
            *(("leaves", f"{item.name} {item.dtype} {item.shape}") for item in facts.leaving),
            ("sealed", f"{len(self.tensors)} tensors, {bytes_text(sealed)}"),
            ("secure memory", f"{bytes_text(facts.secure_bytes)} of {bytes_text(self.budget_bytes)}"),
            ("largest layer", facts.largest_layer or "none: no weights inside"),
        ]
        return "\n".join(f"{name:16} {value}" for name, value in rows) + "\n" + str(ENCLAVE)

    def build(
        self,
        path: Path | str,
        recipient: Recipient | WrappingKey,
        signer: Signer,
        *,
        version: int = 1,
        minimum_version: int = 1,
        overwrite: bool = False,
    ) -> Path:
        """Compile the worker, seal the inner weights to ``recipient``, sign, and write ``path``.

        Raises KK-W04 for versions that contradict each other, KK-G20 and KK-G21 from the compiler, KK-F10 and KK-F11.
        """
        if not 1 <= minimum_version <= version < 1 << 32:
            raise KakuriError(
                "KK-W04", "versions", got=f"{minimum_version}, {version}", limit="1 <= minimum <= version"
            )
        files = self.code.files()
        blob = files[f"{ENTRY}_weights.bin"]
        others = {"worker": compile_worker(self.code, files)}
        for name, net in (("before.onnx", self.cut.before), ("after.onnx", self.cut.after)):
            if net is not None:
                others[name] = model.to_bytes(net)
        data_key = SystemEntropy().draw(32)
        outer = {name: data for name, data in others.items() if name != "worker"}
        draft = Index(
            new_package_id(),
            version,
            minimum_version,
            code_digest(files),
            outside_files_digest(outer),
            len(blob),
            self.tensors,
        )
        index = draft.sealed_to(data_key, recipient)
        plaintexts = [blob[tensor.offset : tensor.offset + tensor.size_bytes] for tensor in self.tensors]
        write_sealed(path, self.facts, index, plaintexts, others, signer, data_key, overwrite=overwrite)
        return Path(path)


def plan(net: ir.Model, *, layers: str = "0:", secure_memory: int | str = "10 MiB") -> EnclavePlan:
    """Cut ``net`` and generate the code for the layers inside.

    layers: ``"5:10"``, both included; numbers of ``kakuri.model.layers``. secure_memory: bytes, or text such as
    ``"10 MiB"``: weights, activations, inputs and outputs of the inner network together must fit.
    """
    budget_bytes = bytes_of(secure_memory)
    cut = partition(net, layers)
    code = codegen.plan(cut.inside, entry=ENTRY, weights="external")
    tensors = sealed_tensors(code)
    by_layer = Counter[str]()
    for tensor in tensors:
        by_layer[tensor.name.rsplit(".", 1)[0]] += tensor.size_bytes
    largest = ", ".join(f"{name}: {bytes_text(size)}" for name, size in by_layer.most_common(1))
    secure_bytes = _secure_bytes(code)
    if secure_bytes > budget_bytes:
        raise KakuriError(
            "KK-W01",
            "the layers inside do not fit the secure memory",
            where=f"layers {cut.first}:{cut.last}, the largest is {largest or 'none'}",
            got=f"{secure_bytes} bytes",
            limit=f"{budget_bytes} bytes",
            hint="take fewer layers inside, or allow more secure memory where the backend has it",
        )
    facts = Facts(
        net.graph.name or "network",
        f"{cut.first}:{cut.last}",
        tuple(_crossing(value) for value in cut.entering),
        tuple(_crossing(value) for value in cut.leaving),
        tuple(value.name or "" for value in net.graph.outputs),
        secure_bytes,
        largest,
    )
    return EnclavePlan(net, cut, code, tensors, facts, budget_bytes)


def sealed_tensors(code: CodegenPlan) -> tuple[Tensor, ...]:
    """Every array of the generated blob, by layer and role. Raises KK-W03 when bytes of the blob belong to none."""
    found: dict[int, Tensor] = {}
    for operation in code.program.operations:
        for role, value in _views(operation):
            if value.storage.kind is Kind.WEIGHTS:
                offset = value.storage.offset_bytes
                name = re.sub(r"[^A-Za-z0-9_./ -]", "_", f"{operation.name}.{role}")[-90:].lstrip("_./ -")
                known = found.get(offset)
                if known is None:
                    taken = {tensor.name for tensor in found.values()}
                    unique = name if name not in taken else f"{name} {offset}"
                    found[offset] = Tensor(unique, value.element.name, (value.storage.elements,), offset)
    tensors = tuple(found[offset] for offset in sorted(found))
    blob = bytearray(code.program.weights.blob())
    check_layout(tensors, len(blob))
    for tensor in tensors:
        blob[tensor.offset : tensor.offset + tensor.size_bytes] = bytes(tensor.size_bytes)
    if any(blob):
        raise KakuriError("KK-W03", "the generated blob holds bytes of no layer", hint="please report it")
    return tensors


def _views(operation: Operation) -> Iterator[tuple[str, View]]:
    """Role and view; those of a group are numbered."""
    for role, value in vars(operation).items():
        if isinstance(value, View):
            yield role, value
        elif isinstance(value, (tuple, list)):
            yield from ((f"{role}{index}", item) for index, item in enumerate(value) if isinstance(item, View))


def _secure_bytes(code: CodegenPlan) -> int:
    """The size of ``struct secret`` in ``worker/worker.h``."""
    program = code.program
    inputs, outputs = (sum(v.storage.size_bytes for v in views) for views in (program.inputs, program.outputs))
    weights = len(program.weights.blob())
    return sum(-(-size // 64) * 64 for size in (weights, max(program.arena_bytes, 64), outputs)) + (
        -(-(64 + inputs + 132) // 64) * 64
    )


def _crossing(value: ir.Value) -> Crossing:
    dtype = value.dtype or ir.DataType.FLOAT
    return Crossing(value.name or "", dtype.numpy().name, static_shape(value))


def bytes_of(size: int | str) -> int:
    """Bytes, or text such as ``"10 MiB"``. Raises KK-W02."""
    if isinstance(size, int) and size > 0:
        return size
    match = _SIZE.fullmatch(str(size))
    size_bytes = int(match[1]) * _UNITS[match[2] or "bytes"] if match else 0
    if size_bytes <= 0:
        raise KakuriError("KK-W02", "not a size", got=ascii(size)[:40], limit='bytes, or "10 MiB"')
    return size_bytes
