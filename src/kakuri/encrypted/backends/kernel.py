"""Programs on ciphertexts: the CKKS kernel behind the backend's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri import _ckks
from kakuri.encrypted.program import TransformSpec


@dataclass(frozen=True)
class EncodedTransform:
    """entries: output, giant, input, baby, plaintext."""

    inputs: int
    outputs: int
    entries: list[tuple[int, int, int, int, _ckks.Plaintext]]


class KernelBackend(_ckks.Evaluator):
    """The kernel's evaluator, plus encoding at its parameters."""

    def __init__(self, parameters: _ckks.Parameters, keys: _ckks.EvaluationKeys | None, threads: int) -> None:
        super().__init__(parameters, keys, threads)
        self._parameters = parameters

    def encode_transform(self, spec: TransformSpec) -> EncodedTransform:
        encoded = [
            (d.output, d.giant, d.input, d.baby, self.encode(d.values, spec.scale, spec.level)) for d in spec.entries
        ]
        return EncodedTransform(spec.inputs, spec.outputs, encoded)

    def linear_transform(self, items: Sequence[_ckks.Ciphertext], transform: EncodedTransform) -> list[_ckks.Ciphertext]:
        rotated = {}
        for i, item in enumerate(items):
            steps = sorted({baby for _, _, source, baby, _ in transform.entries if source == i})
            for step, result in zip(steps, self.rotate_hoisted(item, steps), strict=True):
                rotated[i, step] = result
        results = []
        for o in range(transform.outputs):
            parts = []
            for g in sorted({giant for output, giant, _, _, _ in transform.entries if output == o}):
                terms = [(rotated[i, b], p) for output, giant, i, b, p in transform.entries if (output, giant) == (o, g)]
                inner = self.dot_plain([c for c, _ in terms], [p for _, p in terms])
                parts.append(self.rotate(inner, g) if g else inner)
            results.append(self.add_many(parts))
        return results

    def encode(self, values: NDArray[np.float64], scale: float, level: int) -> _ckks.Plaintext:
        return _ckks.encode(self._parameters, values, scale, level)
