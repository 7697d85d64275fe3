"""The one contract of all backends.

Purpose: ``Backend.load(package, policy)`` -> ``Session.invoke(boundary)``, ``attest(nonce)``, ``guarantee``.
Guarantees: nothing by itself; every answer carries the statement of the backend that gave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from kakuri.enclave.sealed import SealedPackage
from kakuri.strict_json import Json
from kakuri.trust.signing import SignerPublic
from kakuri.units import bytes_text

MIB = 1 << 20


@dataclass(frozen=True)
class Policy:
    """What the loading side insists on.

    signer: the only maker whose packages load. device_key: the .kkey file that packages are sealed to: a
    device key, or a wrapping key.
    minimum_version: older packages are refused; where there is neither TPM nor RPMB the caller keeps this number, and
    raises it to ``SealedPackage.minimum_version`` after each load. allow_swappable_memory: run even where memory can be
    neither secret nor locked; insecure against whoever reads the swap.
    """

    signer: SignerPublic
    device_key: Path | str
    minimum_version: int = 1
    secure_memory_bytes: int = 10 * MIB
    allow_swappable_memory: bool = False


@dataclass(frozen=True)
class Guarantee:
    """What a backend gives on this machine, as found when it started.

    kind: ``sandbox`` or ``TEE``. protects: sentences with their adversary. does_not_protect: what must not be assumed.
    """

    backend: str
    kind: str
    memory: str
    secure_bytes: int
    seccomp: bool
    landlock_abi: int
    protects: tuple[str, ...]
    does_not_protect: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        return {
            "backend": self.backend,
            "kind": self.kind,
            "memory": self.memory,
            "secure_bytes": self.secure_bytes,
            "seccomp": self.seccomp,
            "landlock_abi": self.landlock_abi,
            "protects": list(self.protects),
            "does_not_protect": list(self.does_not_protect),
        }

    def __str__(self) -> str:
        head = f"{self.backend}: a {self.kind}; {bytes_text(self.secure_bytes)} of {self.memory}"
        lines = [f"  protects: {line}" for line in self.protects]
        return "\n".join([head, *lines, *(f"  does not: {line}" for line in self.does_not_protect)])


@dataclass(frozen=True)
class Answer:
    """outputs: value name -> array with the batch first. guarantee: of the backend that computed it."""

    outputs: Mapping[str, NDArray[Any]]
    guarantee: Guarantee


class Session(Protocol):
    """A loaded package: load once, infer many times."""

    @property
    def guarantee(self) -> Guarantee: ...

    @property
    def public_key(self) -> bytes:
        """32 bytes: inputs may be sealed to it."""
        ...

    def invoke(self, boundary: Mapping[str, NDArray[Any]]) -> Answer:
        """boundary: every entering value by name, (B, ...). One crossing for the whole batch where it fits."""
        ...

    def invoke_sealed(self, counter: int, sealed: bytes) -> bytes: ...

    def attest(self, nonce: bytes) -> bytes: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backend(Protocol):
    """A place where inner networks run."""

    name: str

    def load(self, package: SealedPackage, policy: Policy) -> Session: ...
