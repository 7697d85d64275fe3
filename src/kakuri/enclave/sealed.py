"""Sealed packages: a ``.kkr`` of the room ``enclave``.

Purpose: ``write_sealed`` and ``open_sealed``.
Guarantees: ``open_sealed`` returns only what ``signer`` signed: the list of entries with their SHA-256, byte for byte,
    in the OpenSSF model-signing format, and the compact index that the trusted side checks again. Weights of inner
    layers stand in it only as AES-256-GCM ciphertext; every other entry is hashed, and compared when it is read.
Does not guarantee: secrecy of the outer layers, of names, shapes and of the structure: they stand in the clear.
Errors: KK-W20 damaged, KK-W21 not a sealed package, KK-K41 not signed by this signer, and those of ``kakuri.package``.

The entries
- ``index.bin``, ``index.sig`` (see ``enclave.index``); ``signature.json``: the model signature over all other entries;
- ``enclave.json``: layers, boundary, outputs; ``before.onnx``, ``after.onnx``: what runs outside, where there is any;
- ``weights-00000.safetensors`` ...: ciphertexts, one U8 tensor per record of the index; ``worker``: the ELF program.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_safetensors

from kakuri import package as packages
from kakuri import strict_json
from kakuri.closing import Closing
from kakuri.enclave.index import INDEX_LABEL, TAG_BYTES, Index, parse_index
from kakuri.errors import KakuriError
from kakuri.strict_json import Json
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.signing import Signer, SignerPublic

ROOM = "enclave"
SIGNATURE = "signature.json"
OUTSIDE = ("after.onnx", "before.onnx")
SHARD_BYTES = 256 << 20
_MAX_HEADER_BYTES = 16 << 20


@dataclass(frozen=True)
class Crossing:
    """A value of the boundary: its name in both networks, its dtype and shape (batch axis 1)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Json]:
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, item: Any) -> Crossing:
        """Raises KeyError, TypeError or ValueError for anything else."""
        return cls(str(item["name"]), str(item["dtype"]), tuple(int(size) for size in item["shape"]))

    @property
    def size_bytes(self) -> int:
        """Of one sample."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Facts:
    """``enclave.json``. outputs: the whole network's, in order. largest_layer: for messages about memory."""

    network: str
    layers: str
    entering: tuple[Crossing, ...]
    leaving: tuple[Crossing, ...]
    outputs: tuple[str, ...]
    secure_bytes: int
    largest_layer: str

    def to_bytes(self) -> bytes:
        return strict_json.encode(
            strict_json.plain(
                {
                    "network": self.network,
                    "layers": self.layers,
                    "entering": [item.to_json() for item in self.entering],
                    "leaving": [item.to_json() for item in self.leaving],
                    "outputs": list(self.outputs),
                    "secure_bytes": self.secure_bytes,
                    "largest_layer": self.largest_layer,
                }
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Facts:
        """Raises KK-W20."""
        document: dict[str, Any] = strict_json.decode(data, "KK-W20", "enclave.json")
        try:
            entering, leaving = (
                tuple(Crossing.from_json(item) for item in document[key]) for key in ("entering", "leaving")
            )
            return cls(
                str(document["network"]),
                str(document["layers"]),
                entering,
                leaving,
                tuple(str(name) for name in document["outputs"]),
                int(document["secure_bytes"]),
                str(document["largest_layer"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise KakuriError("KK-W20", "enclave.json is damaged", got=type(error).__name__) from None


class SealedPackage(Closing):
    """An opened package whose signature is right; close it or use it as a context manager."""

    def __init__(self, opened: packages.Package, facts: Facts, index: Index, index_bytes: bytes) -> None:
        self.facts, self.index, self.index_bytes = facts, index, index_bytes
        self._opened = opened

    @property
    def path(self) -> Path:
        return self._opened.path

    @property
    def version(self) -> int:
        return self.index.version

    @property
    def minimum_version(self) -> int:
        """The oldest version that the maker still wants loaded; keep it, and insist on it from now on."""
        return self.index.minimum_version

    @property
    def identity(self) -> tuple[str, int, int]:
        """Equal for one file with one content: digest of the manifest, device and inode."""
        descriptor = self.descriptor()
        try:
            stat = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return self._opened.digest, stat.st_dev, stat.st_ino

    @property
    def index_signature(self) -> bytes:
        return self._opened.read("index.sig")

    def worker(self) -> bytes:
        """The program, as an ELF file."""
        return self._opened.read("worker")

    def outside(self, name: str) -> bytes | None:
        """``before.onnx`` or ``after.onnx``, or None where nothing runs there."""
        return self._opened.read(name) if name in self._opened.names else None

    def descriptor(self) -> int:
        return self._opened.descriptor()

    def read_ahead(self) -> None:
        """Ask the kernel for the file: what is read first is checked while the rest is on its way."""
        descriptor = self.descriptor()
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)

    def positions(self) -> list[int]:
        """Where each tensor's ciphertext stands in the file. Raises KK-W20 for shards that do not hold them."""
        found: dict[str, tuple[int, int]] = {}
        for name in self._opened.names:
            if name.startswith("weights-"):
                found |= self._shard(name)
        missing = [t.name for t in self.index.tensors if found.get(t.name, (0, 0))[1] != t.size_bytes + TAG_BYTES]
        if missing or len(found) != len(self.index.tensors):
            raise KakuriError("KK-W20", "the shards do not hold the index's tensors", got=missing[:8])
        return [found[tensor.name][0] for tensor in self.index.tensors]

    def _shard(self, name: str) -> dict[str, tuple[int, int]]:
        """Tensor name -> (position in the file, length), from a safetensors header."""
        start, size_bytes = self._opened.place(name)
        view = self._opened.map_unchecked(name)
        if size_bytes < 8 or (header_bytes := struct.unpack("<Q", view[:8])[0]) > min(
            size_bytes - 8, _MAX_HEADER_BYTES
        ):
            raise KakuriError("KK-W20", "a shard is damaged", where=name)
        text = bytes(view[8 : 8 + header_bytes])
        header = strict_json.decode(text, "KK-W20", name)
        if strict_json.encode(header).ljust(len(text)) != text:
            raise KakuriError("KK-W20", "a shard is damaged: another spelling of its header", where=name)
        data, at = start + 8 + header_bytes, 0
        result = {}
        for tensor, item in header.items():
            shape = item.get("shape") if isinstance(item, dict) else None
            length = shape[0] if isinstance(shape, list) and len(shape) == 1 else None
            if type(length) is not int or item != {"dtype": "U8", "shape": [length], "data_offsets": [at, at + length]}:
                raise KakuriError("KK-W20", "a shard is damaged: not bytes one behind the other", where=name)
            result[tensor] = (data + at, length)
            at += length
        if at != size_bytes - 8 - header_bytes or any(length < 0 for _, length in result.values()):
            raise KakuriError("KK-W20", "a shard is damaged: its length", where=name)
        return result

    def close(self) -> None:
        self._opened.close()


def open_sealed(path: Path | str, signer: SignerPublic) -> SealedPackage:
    """Raises the codes in the module's head; nothing of the package is used before its signature is right."""
    opened = packages.open_package(path)
    try:
        if opened.room != ROOM or SIGNATURE not in opened.names:
            raise KakuriError("KK-W21", "not a sealed package", where=path, got=opened.room, limit=ROOM)
        files = {entry.name: entry.sha256 for entry in opened.manifest.entries if entry.name != SIGNATURE}
        signer.verify_bundle(opened.read(SIGNATURE), files)
        index_bytes = opened.read("index.bin")  # covered by the bundle; its own signature is for the trusted side
        index = parse_index(index_bytes)
        if index.outside_digest != outside_digest({name: files[name] for name in OUTSIDE if name in files}):
            raise KakuriError("KK-W20", "the outer networks are not those of the index", where=path)
        return SealedPackage(opened, Facts.from_bytes(opened.read("enclave.json")), index, index_bytes)
    except KakuriError:
        opened.close()
        raise


def outside_digest(files: Mapping[str, str]) -> bytes:
    """files: name -> SHA-256 in hex, of what runs outside."""
    return hashlib.sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode()).digest()


def outside_files_digest(files: Mapping[str, bytes]) -> bytes:
    """files: name -> content, of what runs outside."""
    return outside_digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})


def write_sealed(  # noqa: PLR0917
    path: Path | str,
    facts: Facts,
    index: Index,
    plaintexts: Sequence[bytes],
    others: Mapping[str, bytes],
    signer: Signer,
    data_key: bytes,
    *,
    overwrite: bool,
) -> None:
    """plaintexts: per record of ``index``. others: worker and outer networks. Raises as ``package.write``."""
    ciphertexts = [index.seal(data_key, number, plaintext) for number, plaintext in enumerate(plaintexts)]
    index_bytes = index.to_bytes()
    entries = {
        **others,
        **_shards(index, ciphertexts),
        "enclave.json": facts.to_bytes(),
        "index.bin": index_bytes,
        "index.sig": signer.sign(INDEX_LABEL, index_bytes),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    entries[SIGNATURE] = signer.bundle(facts.network, digests)
    packages.write(path, ROOM, {"network": facts.network, "layers": facts.layers}, entries, overwrite=overwrite)


def new_package_id() -> bytes:
    return SystemEntropy().draw(16)


def _shards(index: Index, ciphertexts: Sequence[bytes]) -> dict[str, bytes]:
    groups: list[dict[str, Any]] = []
    room_bytes = 0
    for tensor, ciphertext in zip(index.tensors, ciphertexts, strict=True):
        if not groups or room_bytes < len(ciphertext):
            groups.append({})
            room_bytes = SHARD_BYTES
        groups[-1][tensor.name] = np.frombuffer(ciphertext, np.uint8)
        room_bytes -= len(ciphertext)
    return {f"weights-{number:05}.safetensors": save_safetensors(group) for number, group in enumerate(groups)}
