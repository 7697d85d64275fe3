"""Planning a Trusted Application: what it takes of the TEE's memory, and what leaves it.

Purpose: ``plan(net, layers=...)`` and ``OpteePlan.build``.
Guarantees: an application that does not fit the TEE's memory is refused when it is planned, with both figures.
Does not guarantee: that a device's OP-TEE is sound, or what its maker set aside for applications: give ``memory``.
Errors: KK-W01 does not fit, KK-W30 an answer that this network cannot give, KK-W31, KK-G20, KK-G21 and those of
``enclave.planning``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from kakuri import codegen, model
from kakuri.codegen import CodegenPlan
from kakuri.enclave.backends.contract import Guarantee
from kakuri.enclave.fixed_code import generated_sources
from kakuri.enclave.index import HEAD_BYTES, INDEX_LABEL, RECORD_BYTES, Index, Tensor
from kakuri.enclave.optee import project
from kakuri.enclave.optee.footprint import Footprint, measure
from kakuri.enclave.planning import ENTRY, bytes_of, sealed_tensors
from kakuri.enclave.sealed import new_package_id, outside_files_digest
from kakuri.errors import KakuriError
from kakuri.files import atomic_write
from kakuri.model.passes import Partition, partition
from kakuri.strict_json import Json
from kakuri.trust.device_key import Recipient
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.signing import Signer, SignerPublic
from kakuri.units import bytes_text

ANSWERS = ("full", "rounded:N", "label")
_ROUNDED = re.compile(r"rounded:([0-6])")
_MEMORY = "static memory of the Trusted Application"
_PROTECTS = (
    "the normal world, its kernel and root included, sees no inner weight and no inner activation",
    "no package but the signer's, for this code and not below the kept minimum version, is computed",
)
_LEAVES = {
    "full": "what leaves are the inner network's outputs, whole",
    "rounded": "what leaves are rounded outputs",
    "label": "what leaves is the label alone",
}
_DOES_NOT = (
    "without RPMB whoever holds the flash memory can put back the storage with an older minimum version",
    "attest() proves nothing to another machine: no hardware signs it",
    "inputs come in the clear; the structure of the inner layers stands in the application's code",
    "side channels",
)
_PLACEHOLDER = SignerPublic(b"\4" + bytes(64))


@dataclass(frozen=True)
class OpteePlan:
    """Immutable; ``print`` it, then ``build``. answer: what leaves the TEE. memory_bytes: what the TEE has for it."""

    cut: Partition = field(repr=False)
    code: CodegenPlan = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    answer: str
    footprint: Footprint
    memory_bytes: int

    @property
    def used_bytes(self) -> int:
        """Code, constants, static memory, stack and heap."""
        return self.footprint.code_bytes + self.footprint.stack_bytes + project.HEAP_BYTES

    @property
    def guarantee(self) -> Guarantee:
        """What the application gives on a device: as much as the device's OP-TEE does."""
        return Guarantee(
            "optee",
            "TEE, as sound as the device's OP-TEE and secure boot",
            _MEMORY,
            self.used_bytes,
            False,
            0,
            (*_PROTECTS, _LEAVES[self.answer.split(":")[0]]),
            _DOES_NOT,
        )

    @property
    def input_bytes(self) -> int:
        return sum(view.storage.size_bytes for view in self.code.program.inputs)

    @property
    def answer_bytes(self) -> int:
        return 4 if self.answer == "label" else sum(view.storage.size_bytes for view in self.code.program.outputs)

    @property
    def sealed_bytes(self) -> int:
        """Length of ``sealed.bin``."""
        return HEAD_BYTES + RECORD_BYTES * len(self.tensors) + 64 + project.ciphertext_bytes(self.tensors)

    def to_dict(self) -> dict[str, Json]:
        return {
            "layers": f"{self.cut.first}:{self.cut.last}",
            "target": self.code.target.name,
            "answer": self.answer,
            "used_bytes": self.used_bytes,
            "memory_bytes": self.memory_bytes,
            "stack_bytes": self.footprint.stack_bytes,
            "heap_bytes": project.HEAP_BYTES,
            "sealed_bytes": self.sealed_bytes,
            "input_bytes": self.input_bytes,
            "answer_bytes": self.answer_bytes,
            "guarantee": self.guarantee.to_dict(),
        }

    def __str__(self) -> str:
        rows = [
            ("inside", f"layers {self.cut.first}:{self.cut.last}, for {self.code.target.name}"),
            ("answer", f"{self.answer}, {self.answer_bytes} bytes a sample"),
            ("memory", f"{bytes_text(self.used_bytes)} of {bytes_text(self.memory_bytes)}"),
            ("stack", bytes_text(self.footprint.stack_bytes)),
            ("sealed", f"{len(self.tensors)} tensors, {bytes_text(self.sealed_bytes)}"),
        ]
        return "\n".join([*(f"{name:16} {value}" for name, value in rows), str(self.guarantee)])

    def build(
        self,
        folder: Path | str,
        recipient: Recipient,
        signer: Signer,
        *,
        version: int = 1,
        minimum_version: int = 1,
        overwrite: bool = False,
    ) -> Path:
        """Write ``ta/``, ``host/``, ``sealed.bin``, ``GUARANTEE.txt``, outer networks. Raises KK-W04, KK-F10, KK-F11.

        recipient: the device's public key; ``client key`` prints it on the device. For the first build of an
        application, whose device does not have a key yet, build with any key, install, then build again with this one:
        the application stays the same, only ``sealed.bin`` changes.
        """
        if not 1 <= minimum_version <= version < 1 << 32:
            raise KakuriError(
                "KK-W04", "versions", got=f"{minimum_version}, {version}", limit="1 <= minimum <= version"
            )
        folder = Path(folder)
        files = self.files(signer.public) | {"sealed.bin": self._sealed(recipient, signer, version, minimum_version)}
        for name, data in files.items():
            path = folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise KakuriError("KK-F10", f"cannot make the folder: {error.strerror}", where=path.parent) from error
            with atomic_write(path, overwrite=overwrite) as file:
                file.write(data)
        return folder

    def files(self, signer: SignerPublic) -> dict[str, bytes]:
        """Everything but ``sealed.bin``: without any weight of the inner layers."""
        generated = self.code.files()
        application = project.application_id(project.code_digest(generated, self.answer))
        ta = generated_sources(generated) | project.trusted_sources()
        ta["ta_config.h"] = _config(self.code, self.tensors, signer, self.answer)
        ta["user_ta_header_defines.h"] = project.application_header(application, self.footprint.stack_bytes)
        host = project.host_sources()
        stated = str(self.guarantee)
        host["client_config.h"] = project.client_config(
            application, self.input_bytes, self.answer_bytes, self.sealed_bytes, stated.splitlines()[0]
        )
        files = {f"ta/{name}": data for name, data in ta.items()} | {
            f"host/{name}": data for name, data in host.items()
        }
        return (
            files
            | project.build_files(self.code, application)
            | self._outside()
            | {"GUARANTEE.txt": stated.encode() + b"\n"}
        )

    def _outside(self) -> dict[str, bytes]:
        parts = (("before.onnx", self.cut.before), ("after.onnx", self.cut.after))
        return {name: model.to_bytes(net) for name, net in parts if net is not None}

    def _sealed(self, recipient: Recipient, signer: Signer, version: int, minimum_version: int) -> bytes:
        """Index, raw signature, ciphertexts with tags: the form in which the application takes a package."""
        generated = self.code.files()
        blob = generated[f"{ENTRY}_weights.bin"]
        draft = Index(
            new_package_id(),
            version,
            minimum_version,
            project.code_digest(generated, self.answer),
            outside_files_digest(self._outside()),
            len(blob),
            self.tensors,
        )
        data_key = SystemEntropy().draw(32)
        index = draft.sealed_to(data_key, recipient)
        index_bytes = index.to_bytes()
        numbers = decode_dss_signature(signer.sign(INDEX_LABEL, index_bytes))
        ciphertexts = [
            index.seal(data_key, number, blob[tensor.offset : tensor.offset + tensor.size_bytes])
            for number, tensor in enumerate(self.tensors)
        ]
        return index_bytes + b"".join(number.to_bytes(32, "big") for number in numbers) + b"".join(ciphertexts)


def plan(
    net: ir.Model,
    *,
    layers: str = "0:",
    answer: str = "full",
    memory: int | str = "12 MiB",
    target: str = "arm64",
) -> OpteePlan:
    """Cut ``net``, generate the application and measure it with ``target``'s compiler.

    answer: ``full`` values; ``rounded:N``, to N places; ``label``, the number of the largest value and nothing else.
    Where outer layers follow only ``full`` makes sense. memory: of the TEE for this application.
    """
    memory_bytes = bytes_of(memory)
    cut = partition(net, layers)
    code = codegen.plan(cut.inside, entry=ENTRY, weights="external", target=target)
    _check_answer(cut, code, answer)
    tensors = sealed_tensors(code)
    generated = code.files()
    files = generated_sources(generated) | project.trusted_sources()
    files["ta_config.h"] = _config(code, tensors, _PLACEHOLDER, answer)
    footprint = measure(code.target.compiler, files, project.units(code), project.api_headers())
    made = OpteePlan(cut, code, tensors, answer, footprint, memory_bytes)
    if made.used_bytes > memory_bytes:
        largest = max(tensors, key=lambda tensor: tensor.size_bytes, default=None)
        raise KakuriError(
            "KK-W01",
            "the layers inside do not fit the secure memory",
            where=f"layers {cut.first}:{cut.last}, the largest is {largest.name if largest else 'none'}",
            got=f"{made.used_bytes} bytes",
            limit=f"{memory_bytes} bytes",
            hint="take fewer layers inside",
        )
    return made


def _check_answer(cut: Partition, code: CodegenPlan, answer: str) -> None:
    """Raises KK-W30."""
    if answer not in {"full", "label"} and not _ROUNDED.fullmatch(answer):
        raise KakuriError("KK-W30", "no such answer", got=ascii(answer)[:40], limit=", ".join(ANSWERS))
    program = code.program
    if any(view.element.name != "float32" for view in (*program.inputs, *program.outputs)):
        raise KakuriError("KK-W30", "the Trusted Application takes and gives float32 only")
    if answer != "full" and cut.after is not None:
        raise KakuriError("KK-W30", "outer layers follow: they need the full values", got=answer, limit="full")
    if answer == "label" and (len(program.outputs) != 1 or math.prod(program.outputs[0].shape) < 2):
        raise KakuriError("KK-W30", "a label needs one output of scores", got=len(program.outputs))


def _config(code: CodegenPlan, tensors: tuple[Tensor, ...], signer: SignerPublic, answer: str) -> bytes:
    rounded = _ROUNDED.fullmatch(answer)
    kind = "ROUNDED" if rounded else answer.upper()
    lines = [f"#define KK_ANSWER KK_ANSWER_{kind}"]
    if rounded:
        lines.append(f"#define KK_ROUND_STEPS {float(10 ** int(rounded[1]))}f")
    return project.ta_config(code, tensors, signer, project.code_digest(code.files(), answer), lines)
