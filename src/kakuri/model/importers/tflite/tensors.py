"""The tensors of a file while it becomes a graph: each in the layouts that somebody asked for.

Purpose: a tensor's values in the graph, by layout; layouts are made on demand, so that no transposition stands
    without need.
Guarantees: the same element under the same index of the source, whatever the layout.
Does not guarantee: a channels-first form of anything but rank 4, which is what TFLite's spatial operators have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import onnx_ir as ir

from kakuri.model.graph import Array
from kakuri.model.importers.tflite.source import Quantization, SourceTensor

#: Axes of a channels-last tensor in channels-first order, and back.
TO_FIRST = (0, 3, 1, 2)
TO_LAST = (0, 2, 3, 1)
QUANTIZED_TYPES = ("INT8", "UINT8")


class Layout(Enum):
    """How a value's axes stand: as in the file, (N, C, H, W), or (1, C H W) where the file has (1, H W C)."""

    SOURCE = "source"
    FIRST = "channels first"
    FLAT_FIRST = "flattened channels first"


@dataclass
class Tensor:
    """One tensor of the file and the values that stand for it.

    values: integers or floats as the file has them. reals: the same dequantised. makers: layouts that are cheap to
    make from another tensor's values, made when somebody asks. array: the elements of a constant, in the file's
    layout. map_shape: (H, W, C) of the map that FLAT_FIRST flattens.
    """

    source: SourceTensor
    name: str
    array: Array | None = None
    values: dict[Layout, ir.Value] = field(default_factory=dict)
    reals: dict[Layout, ir.Value] = field(default_factory=dict)
    makers: dict[Layout, Callable[[], ir.Value]] = field(default_factory=dict)
    map_shape: tuple[int, int, int] | None = None

    @property
    def quantization(self) -> Quantization | None:
        """The parameters of an 8-bit quantised tensor."""
        return self.source.quantization if self.source.type in QUANTIZED_TYPES else None

    def has(self, layout: Layout) -> bool:
        return layout in self.values or layout in self.makers
