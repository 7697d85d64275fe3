"""Quantised dense layers: rows are pixels of ``runtime/dot.h``."""

from __future__ import annotations

from kakuri.codegen.kernels.integer.conv import check_weights
from kakuri.codegen.kernels.integer.dot import Dot, dot_weights
from kakuri.codegen.kernels.integer.kernel import IntegerKernel, name_of, operand_view, output
from kakuri.codegen.kernels.integer.levels import levels_of
from kakuri.codegen.kernels.integer.rest import QUAD
from kakuri.codegen.kernels.integer.signed import centred_weights, first_sums
from kakuri.codegen.kernels.linear import Geometry
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.views import Kind
from kakuri.model.quantized import Region


def _lower(walk: Lowering, region: Region) -> None:
    """x (rows, in), w (out, in)."""
    weights = centred_weights(region)
    columns, inputs = weights.shape
    source = walk.dense(operand_view(walk, region))
    if source.storage.kind is Kind.INPUT and inputs % QUAD:
        source = walk.arranged(source, (0, 1))  # the caller's memory may end where the matrix ends
    target = output(walk, region, (0, 1))
    rows, c_px = source.shape[0], target.strides[0] if source.shape[0] > 1 else columns
    geometry = Geometry.of_matrix(rows, inputs, columns, c_px)
    start, largest = first_sums(region, weights)
    levels = levels_of(walk, region, start, largest)
    panels, rest, _ = dot_weights(walk, [weights.T[None]], geometry)
    walk.emit(Dot(name_of(region), source, panels, levels, target, geometry, rest))


KERNELS = (IntegerKernel("Gemm", _lower, check_weights),)
