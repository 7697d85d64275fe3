"""The compact manifest of a sealed package: what the trusted side checks instead of JSON.

Purpose: write and read the binary index; seal tensors and the data key for the place that the index gives them.
Guarantees: one encoding; the associated data of every tensor is the package's id, version and minimum version and the
    tensor's whole record (name, dtype, shape, offset, length), so that a tensor opens in its own place of its own
    package and version only; the nonce is the record's number, under a data key that one package uses.
Does not guarantee: secrecy of names and shapes; they stand in the clear.
Errors: KK-W20 not an index.

The format (little-endian; ``enclave/worker/package.c`` reads the same)
- head, 192 bytes: ``KKENCL1\\n``; package id (16); version u32; minimum version u32; digest of the code (32); digest of
  what runs outside (32); weights_bytes u64; tensors u32; wrap u32; wrapped data key (80): under
  HPKE (1), or nonce, ciphertext and tag of AES-256-GCM under a symmetric device key, then 20 zero bytes (2);
- a record of 192 bytes per tensor: name (96, zero-padded); dtype u32; rank u32; 8 dimensions u64; offset and length in
  the blob of weights, u64; 8 zero bytes. Offsets rise, tensors do not overlap.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kakuri.errors import KakuriError
from kakuri.trust.device_key import Recipient
from kakuri.trust.wrapping_key import WrappingKey

MAGIC = b"KKENCL1\n"
HEAD_BYTES = RECORD_BYTES = 192
MAX_TENSORS = 4096
TAG_BYTES = 16
INDEX_LABEL = b"kakuri-enclave-index-1\n"
WRAP_HPKE, WRAP_SYMMETRIC, WRAPPED_BYTES = 1, 2, 80
WRAP_LABEL = b"kakuri-enclave-wrap-1\n"
_HEAD = struct.Struct("<8s16sII32s32sQII80s")
_RECORD = struct.Struct("<96sII8QQQ8x")
_DTYPES = {"float32": (1, 4), "int32": (2, 4), "int64": (3, 8)}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./ -]{0,94}")


@dataclass(frozen=True)
class Tensor:
    """A run of ``bytes`` at ``offset`` of the blob: an array of ``shape`` and ``dtype`` in the kernels' own order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * _DTYPES[self.dtype][1]

    def record(self) -> bytes:
        dims = (*self.shape, *[0] * (8 - len(self.shape)))
        number = _DTYPES[self.dtype][0]
        return _RECORD.pack(self.name.encode("ascii"), number, len(self.shape), *dims, self.offset, self.size_bytes)


@dataclass(frozen=True)
class Index:
    """package_id: 16 bytes. code_digest, outside_digest: SHA-256. wrap, wrapped_key: how the data key is sealed."""

    package_id: bytes
    version: int
    minimum_version: int
    code_digest: bytes
    outside_digest: bytes
    weights_bytes: int
    tensors: tuple[Tensor, ...]
    wrapped_key: bytes = bytes(WRAPPED_BYTES)
    wrap: int = WRAP_HPKE

    @property
    def identity(self) -> bytes:
        """What binds a sealed thing to this package: id, version, minimum version."""
        return self.package_id + struct.pack("<II", self.version, self.minimum_version)

    def to_bytes(self) -> bytes:
        head = _HEAD.pack(
            MAGIC,
            self.package_id,
            self.version,
            self.minimum_version,
            self.code_digest,
            self.outside_digest,
            self.weights_bytes,
            len(self.tensors),
            self.wrap,
            self.wrapped_key,
        )
        return head + b"".join(tensor.record() for tensor in self.tensors)

    def sealed_to(self, data_key: bytes, recipient: Recipient | WrappingKey) -> Index:
        """The same index with the data key for ``recipient``, bound to this package."""
        wrap = WRAP_HPKE if isinstance(recipient, Recipient) else WRAP_SYMMETRIC
        sealed = recipient.seal(data_key, WRAP_LABEL + self.identity)
        return replace(self, wrap=wrap, wrapped_key=sealed.ljust(WRAPPED_BYTES, b"\0"))

    def seal(self, data_key: bytes, number: int, plaintext: bytes) -> bytes:
        """Ciphertext and tag of tensor ``number``."""
        nonce = number.to_bytes(12, "little")
        return AESGCM(data_key).encrypt(nonce, plaintext, self.identity + self.tensors[number].record())


def parse_index(data: bytes) -> Index:
    """Raises KK-W20 for anything but the one encoding of an index."""
    if len(data) < HEAD_BYTES or (len(data) - HEAD_BYTES) % RECORD_BYTES:
        raise _bad("length", len(data))
    magic, package_id, version, minimum, code, outside, weights_bytes, count, wrap, wrapped = _HEAD.unpack_from(data)
    if (
        magic != MAGIC
        or wrap not in {WRAP_HPKE, WRAP_SYMMETRIC}
        or count != (len(data) - HEAD_BYTES) // RECORD_BYTES
        or count > MAX_TENSORS
    ):
        raise _bad("head", count)
    tensors = tuple(_tensor(data[at : at + RECORD_BYTES]) for at in range(HEAD_BYTES, len(data), RECORD_BYTES))
    check_layout(tensors, weights_bytes)
    index = Index(package_id, version, minimum, code, outside, weights_bytes, tensors, wrapped, wrap)
    if index.to_bytes() != data:
        raise _bad("encoding", "another spelling")
    return index


def check_layout(tensors: Sequence[Tensor], weights_bytes: int) -> None:
    """Raises KK-W20 unless names are unique, offsets rise and every tensor lies inside the blob."""
    end = 0
    names: set[str] = set()
    for tensor in tensors:
        if not _NAME.fullmatch(tensor.name) or tensor.name in names:
            raise _bad("name", ascii(tensor.name)[:60])
        if len(tensor.shape) > 8 or tensor.offset < end or not 0 < tensor.size_bytes <= weights_bytes - tensor.offset:
            raise _bad("place", tensor.name)
        names.add(tensor.name)
        end = tensor.offset + tensor.size_bytes


def _tensor(record: bytes) -> Tensor:
    padded, number, rank, *rest = _RECORD.unpack(record)
    dtype = next((name for name, (code, _) in _DTYPES.items() if code == number), None)
    name = padded.rstrip(b"\0")
    if dtype is None or rank > 8 or not name.isascii():
        raise _bad("record", ascii(name)[:60])
    tensor = Tensor(name.decode("ascii"), dtype, tuple(rest[:rank]), rest[8])
    if tensor.size_bytes != rest[9]:
        raise _bad("length of a tensor", tensor.name)
    return tensor


def _bad(what: str, got: object) -> KakuriError:
    return KakuriError("KK-W20", f"the sealed package's index is damaged: {what}", got=got, hint="build it again")
