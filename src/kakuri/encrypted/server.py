"""The side that computes and learns nothing: no type here can hold a secret key.

Purpose: runs the compiled program on a query's ciphertexts with the client's evaluation keys.
Guarantees: sees ciphertexts, evaluation keys, its own network, sizes and timing of messages; nothing else. The modules
it imports have no secret-key type (import-linter proves it).
Does not guarantee: a right answer to a client who distrusts it (honest but curious), nor that the network stays secret
from a client who asks many questions.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from kakuri import _ckks, model
from kakuri import package as packages
from kakuri.encrypted.backends.kernel import KernelBackend
from kakuri.encrypted.chain import CONJUGATE_INVARIANT, STANDARD, Chain
from kakuri.encrypted.compile import Compiled, compile_network
from kakuri.encrypted.deployment import Deployment
from kakuri.encrypted.diagonals_cache import DiagonalsCache
from kakuri.encrypted.execute import Profile, Progress, encode_constants, execute
from kakuri.encrypted.messages import Answer, Query, expect
from kakuri.encrypted.multiplexed.compile import MULTIPLEXED, Design, compile_multiplexed
from kakuri.encrypted.network import lower
from kakuri.encrypted.packings.registry import packing
from kakuri.errors import KakuriError

ROOM = "encrypted"


@dataclass(frozen=True)
class Recipe:
    """What, with the prepared model, reproduces the compiled program: stored in the package."""

    packing: str
    chain: Chain
    drop_unneeded: bool = True
    design: Design | None = None  # layouts and scales of the multiplexed packing

    def compile(self, net: ir.Model, typical: Mapping[str, float] | None = None) -> Compiled:
        """typical: root mean square of every value, for the error estimate; the program does not depend on it."""
        if self.design is not None:
            return compile_multiplexed(lower(net), self.chain, self.chain.noise, typical or {}, self.design)
        noise, pack = self.chain.noise, packing(self.packing)
        return compile_network(lower(net), pack, self.chain, noise, typical or {}, drop_unneeded=self.drop_unneeded)

    def to_dict(self) -> dict[str, Any]:
        return {
            "packing": self.packing,
            "log_n": self.chain.log_n,
            "ring": self.chain.ring,
            "moduli": list(self.chain.moduli),
            "special_moduli": list(self.chain.special_moduli),
            "digits": self.chain.digits,
            "scale": self.chain.scale.hex(),
            "drop_unneeded": self.drop_unneeded,
            "design": None if self.design is None else self.design.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """Raises KK-F45 for anything that is not a recipe."""
        try:
            chain = Chain(
                tuple(int(q) for q in data["moduli"]),
                tuple(int(q) for q in data["special_moduli"]),
                int(data["digits"]),
                int(data["log_n"]),
                float.fromhex(data["scale"]),
                str(data["ring"]),
            )
            if chain.ring not in (STANDARD, CONJUGATE_INVARIANT) or not 4 <= chain.log_n <= 16:
                raise ValueError("ring")
            name, stored = str(data["packing"]), data["design"]
            design = Design.from_dict(stored) if name == MULTIPLEXED else None
            return cls(name, chain, bool(data["drop_unneeded"]), design)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise KakuriError(
                "KK-F45", "the package's plan is damaged", got=type(error).__name__, hint="build the package again"
            ) from None


class Server:
    """Answers queries. Create with ``plan.build()`` or ``Server.load``. ``run`` may be called from many threads; one
    query is computed at a time, with ``threads`` cores."""

    def __init__(
        self,
        deployment: Deployment,
        net: ir.Model,
        recipe: Recipe,
        keys: _ckks.EvaluationKeys,
        *,
        threads: int | None = None,
        compiled: Compiled | None = None,
        cache: DiagonalsCache | None = None,
    ) -> None:
        self.deployment = deployment
        self.threads = threads or os.cpu_count() or 1
        self.last_profile: Profile | None = None
        self._net, self._recipe, self._keys = net, recipe, keys
        self._compiled = compiled or recipe.compile(net)
        self._require_same_wire()
        self._require_keys()
        self._backend = KernelBackend(deployment.parameters, keys, self.threads, cache)
        self._constants = encode_constants(self._compiled.program, self._backend)
        self._lock = threading.Lock()

    def _require_same_wire(self) -> None:
        ours, theirs = self._compiled, self.deployment
        same = (ours.input, ours.output) == (theirs.input, theirs.output)
        if not same:
            raise KakuriError("KK-F45", "model and plan in the package do not belong together", hint="build it again")

    def _require_keys(self) -> None:
        program, held = self._compiled.program, self._keys.rotations
        missing = [
            f"step {step} at level {level}" for step, level in program.rotations.items() if held.get(step, -1) < level
        ]
        needed, available = program.relinearization_level, self._keys.relinearization_level
        if needed is not None and (available is None or available < needed):
            missing.append(f"relinearisation at level {needed}")
        if missing:
            raise KakuriError(
                "KK-K10",
                "evaluation keys are missing",
                got=f"{len(missing)} missing, first {missing[0]}",
                limit=f"{len(program.rotations)} rotations and relinearisation",
                hint="keys and package must come from one `kakuri build`",
            )

    def run(self, query: Query, progress: Progress | None = None) -> Answer:
        """Raises KK-F4x for a message that is damaged or of another deployment."""
        expect(query, self.deployment.digest, self.deployment.input.ciphertexts, self.deployment.capacity)
        parameters = self.deployment.parameters
        inputs = [_ckks.Ciphertext.from_bytes(parameters, data) for data in query.ciphertexts]
        for ciphertext in inputs:
            if (ciphertext.level, ciphertext.size) != (parameters.max_level, 2) or not _close(
                ciphertext.scale, self.deployment.scale
            ):
                raise KakuriError(
                    "KK-F46",
                    "a ciphertext of the query is not fresh",
                    got=f"level {ciphertext.level}, scale {ciphertext.scale:.6g}, size {ciphertext.size}",
                    limit=f"level {parameters.max_level}, scale {self.deployment.scale:.6g}, size 2",
                )
        with self._lock:
            outputs, profile = execute(self._compiled.program, self._backend, self._constants, inputs, progress)
            self.last_profile = profile
        return Answer(query.samples, self.deployment.digest, tuple(c.to_bytes() for c in outputs))

    @property
    def evaluation_key_bytes(self) -> int:
        return self._keys.nbytes

    def evaluation_keys(self) -> bytes:
        """The client's public evaluation keys, as the server holds them."""
        return self._keys.to_bytes()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the package: plan, model and the client's evaluation keys. No secret."""
        deployment = self.deployment.to_json().encode()
        content = {"recipe": self._recipe.to_dict(), "deployment_sha256": hashlib.sha256(deployment).hexdigest()}
        entries = {
            "deployment.json": deployment,
            "model.onnx": model.to_bytes(self._net),
            "evaluation_keys.bin": self._keys.to_bytes(),
        }
        packages.write(Path(path), ROOM, content, entries)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], threads: int | None = None, *, cache: DiagonalsCache | None = None
    ) -> Server:
        """cache: where encoded diagonals are kept for the next start. Raises KK-F.. for a file that is no such package
        or is damaged."""
        with packages.open_package(Path(path)) as package:
            if package.room != ROOM:
                raise KakuriError(
                    "KK-F48",
                    "the package is for another room",
                    where=path,
                    got=package.room,
                    limit=ROOM,
                    hint="kakuri run",
                )
            deployment = Deployment.from_json(package.read("deployment.json"))
            recipe = Recipe.from_dict(package.content.get("recipe"))
            net = model.from_bytes(package.read("model.onnx"))
            keys = _ckks.EvaluationKeys.from_bytes(deployment.parameters, package.view("evaluation_keys.bin"))
        return cls(deployment, net, recipe, keys, threads=threads, cache=cache)


def _close(a: float, b: float) -> bool:
    return abs(a / b - 1.0) < 2.0**-20
