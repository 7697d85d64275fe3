"""Quantised dense layers: rows are pixels of ``runtime/dot.h``."""

from __future__ import annotations

from kakuri.codegen.kernels.integer.conv import check_weights, first_sums
from kakuri.codegen.kernels.integer.dot import QUAD, Dot, dot_panels
from kakuri.codegen.kernels.integer.kernel import IntegerKernel, name_of, operand_view, output
from kakuri.codegen.kernels.integer.levels import levels_of
from kakuri.codegen.kernels.integer.signed import signed_weights
from kakuri.codegen.kernels.linear import Geometry
from kakuri.codegen.lowering import Lowering
from kakuri.codegen.views import Kind
from kakuri.model.quantized import Region


def _lower(walk: Lowering, region: Region) -> None:
    """x (rows, in), w (out, in)."""
    signed = signed_weights(region)
    columns, inputs = signed.weights.shape
    source = walk.dense(operand_view(walk, region))
    if source.storage.kind is Kind.INPUT and inputs % QUAD:
        source = walk.arranged(source, (0, 1))  # the caller's memory may end where the matrix ends
    target = output(walk, region, (0, 1))
    rows, c_px = source.shape[0], target.strides[0] if source.shape[0] > 1 else columns
    geometry = Geometry.of_matrix(rows, inputs, columns, c_px)
    start, largest = first_sums(region, signed.weights, signed.zero)
    levels = levels_of(walk, region, start, largest)
    panels = walk.weights.add(dot_panels(signed.weights.T[None]))
    walk.emit(Dot(name_of(region), source, panels, levels, target, geometry, signed.zero))


KERNELS = (IntegerKernel("Gemm", _lower, check_weights),)
