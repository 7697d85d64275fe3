"""What client and server must agree on, and no more.

Purpose: CKKS parameters, where inputs and outputs stand in ciphertexts, and the precision that may be shown.
Guarantees: holds no weight, no key and no structure of the network beyond input and output shapes; the digest names
the deployment in every message and file.
Does not guarantee: that the server runs the network it claims to (honest but curious server).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

from kakuri import _ckks
from kakuri.encrypted.wire import WireLayout
from kakuri.errors import KakuriError

MAX_JSON_BYTES = 1 << 24


@dataclass(frozen=True)
class Deployment:
    """input_range, output_bound: what calibration saw. precision_bits: of decrypted answers, after the binary point.

    labels: names of the outputs, or empty. key_id: names the client's key pair; empty in a plan, which has none.
    """

    name: str
    parameters: _ckks.Parameters
    input: WireLayout
    output: WireLayout
    scale: float
    precision_bits: int
    input_range: tuple[float, float]
    output_bound: float
    labels: tuple[str, ...] = ()
    key_id: str = ""

    @property
    def capacity(self) -> int:
        """Samples per query."""
        return self.parameters.slots if self.input.batched else 1

    @cached_property
    def digest(self) -> bytes:
        """32 bytes; equal for equal deployments. Kept: every query and answer carries it."""
        return hashlib.sha256(self.to_json().encode()).digest()

    def to_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "parameters": self.parameters.to_bytes().hex(),
                "input": self.input.to_dict(),
                "output": self.output.to_dict(),
                "scale": self.scale.hex(),
                "precision_bits": self.precision_bits,
                "input_range": [x.hex() for x in self.input_range],
                "output_bound": self.output_bound.hex(),
                "labels": list(self.labels),
                "key_id": self.key_id,
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Deployment:
        """Raises KK-F44 for anything that is not a deployment, and the kernel's KK-N0x for insecure parameters."""
        if len(text) > MAX_JSON_BYTES:
            raise _damaged(f"{len(text)} bytes")
        try:
            data = json.loads(text)
            parameters = _ckks.Parameters.from_bytes(bytes.fromhex(data["parameters"]))
            low, high = (float.fromhex(x) for x in data["input_range"])
            result = cls(
                name=str(data["name"]),
                parameters=parameters,
                input=WireLayout.from_dict(data["input"], parameters.slots, every_element=False),
                output=WireLayout.from_dict(data["output"], parameters.slots, every_element=True),
                scale=float.fromhex(data["scale"]),
                precision_bits=int(data["precision_bits"]),
                input_range=(low, high),
                output_bound=float.fromhex(data["output_bound"]),
                labels=tuple(str(x) for x in data["labels"]),
                key_id=str(data["key_id"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise _damaged(type(error).__name__) from None
        if not (math.isfinite(result.scale) and result.scale > 0 and 0 <= result.precision_bits <= 60):
            raise _damaged(f"scale {result.scale}, precision {result.precision_bits}")
        return result


def _damaged(got: str) -> KakuriError:
    return KakuriError("KK-F44", "the deployment description is damaged", got=got, hint="build the package again")
