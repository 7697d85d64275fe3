"""Features of a frozen trunk, and their storage in a byte each.

Purpose: ``Trunk`` runs ONNX bytes under ONNX Runtime; ``quantize`` and ``dequantize`` store features as int8.
Guarantees: one thread, one sample at a time, so that a device needs little memory and the same machine gives the same
bits; the rounding error of a stored feature is at most half a step of its own column's scale.
Does not guarantee: equal bits on another processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kakuri.model.runtime import onnxruntime
from kakuri.personal.dataset import UInt8
from kakuri.personal.inputs.spec import InputSpec

Float32 = NDArray[np.float32]
Int8 = NDArray[np.int8]


class Trunk:
    """The trunk of a package, ready to run."""

    def __init__(self, onnx_bytes: bytes, spec: InputSpec) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._width = int(self._session.get_outputs()[0].shape[-1])
        self._spec = spec

    def features(self, samples: UInt8) -> Float32:
        """(n, C, H, W) uint8 -> (n, d)."""
        made = np.empty((len(samples), self._width), np.float32)
        for row, sample in zip(made, samples, strict=True):  # copied at once: outputs held among the runtime's own
            row[:] = self._session.run(None, {self._input: self._spec.normalize(sample[None])})[0]  # pieces keep its
        return made  # memory from being used again (143 instead of 90 MiB in the end)


@dataclass(frozen=True)
class StoredFeatures:
    """values: (n, d) int8. scale: (d,) float32; a feature is value * scale."""

    values: Int8
    scale: Float32


def quantize(features: Float32) -> StoredFeatures:
    scale = np.maximum(np.abs(features).max(axis=0), np.float32(1e-6)) / np.float32(127)
    values = np.clip(np.rint(features / scale), -127, 127).astype(np.int8)
    return StoredFeatures(values, scale.astype(np.float32))


def dequantize(stored: StoredFeatures) -> Float32:
    made: Float32 = stored.values.astype(np.float32) * stored.scale
    return made
