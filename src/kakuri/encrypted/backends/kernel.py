"""Programs on ciphertexts: the CKKS kernel behind the backend's shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kakuri import _ckks
from kakuri.encrypted.diagonals_cache import DiagonalsCache
from kakuri.encrypted.program import TransformSpec


class KernelBackend(_ckks.Evaluator):
    """The kernel's evaluator, plus encoding at its parameters; diagonals come from ``cache`` where there is one."""

    def __init__(
        self,
        parameters: _ckks.Parameters,
        keys: _ckks.EvaluationKeys | None,
        threads: int,
        cache: DiagonalsCache | None = None,
    ) -> None:
        super().__init__(parameters, keys, threads)
        self._parameters, self._cache = parameters, cache

    def encode_transform(self, spec: TransformSpec) -> _ckks.Diagonals:
        if self._cache is None:
            return self._encode_transform(spec)
        return self._cache.get(self._parameters, spec, lambda: self._encode_transform(spec))

    def _encode_transform(self, spec: TransformSpec) -> _ckks.Diagonals:
        entries = [(d.output, d.giant, d.input, d.baby, d.values) for d in spec.entries]
        return _ckks.encode_diagonals(
            self._parameters,
            spec.level,
            spec.scale,
            entries,
            inputs=spec.inputs,
            outputs=spec.outputs,
            threads=self.threads,
        )

    def encode(self, values: NDArray[np.float64], scale: float, level: int) -> _ckks.Plaintext:
        return _ckks.encode(self._parameters, values, scale, level)
