"""Operators that keep the elements in their order: RESHAPE, SQUEEZE, EXPAND_DIMS."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.operators.layouts import axis_of
from kakuri.model.importers.tflite.tensors import Layout


def _reshaped(op: Operation, shape: Sequence[int]) -> None:
    """``shape`` of the first input, made in the layouts that somebody asks for."""
    source, output, build = op.input(0), op.output, op.builder
    before = op.shape(0)
    if math.prod(before) != math.prod(shape):
        raise op.damaged("has elements that do not fill its shape", f"{before} to {tuple(shape)}")
    if source.source.type != output.source.type:
        raise op.damaged("changes the type", f"{source.source.type} to {output.source.type}")

    def plain() -> ir.Value:
        return build.reshape(op.flat(0), shape, op.label)

    def channels_first() -> ir.Value:
        return build.reshape(build.value(source, Layout.FIRST), shape, op.label)

    from_map = len(before) == 4 and source.has(Layout.FIRST) and before[0] == 1
    if from_map and tuple(shape) == (1, math.prod(before)) and not op.is_flat(0):
        output.makers[Layout.SOURCE], output.makers[Layout.FLAT_FIRST] = plain, channels_first
        output.map_shape = (before[1], before[2], before[3])
    else:
        op.moved(plain())


def _reshape(op: Operation) -> None:
    wanted = op.ints(1) if op.has(1) else op.integers("NewShape")
    if wanted == (0,) and not op.has(1):
        wanted = ()
    known = math.prod(size for size in wanted if size != -1)
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1 or len(wanted) > op.builder.limits.rank:
        raise op.damaged("has a malformed shape", wanted[:16])
    total = math.prod(op.shape(0))
    if -1 in wanted and (known == 0 or total % known):
        raise op.damaged("has elements that do not fill its shape", f"{op.shape(0)} to {wanted}")
    _reshaped(op, [total // known if size == -1 else size for size in wanted])


def _squeeze(op: Operation) -> None:
    shape = op.shape(0)
    gone = {axis_of(op, axis, len(shape)) for axis in op.integers("SqueezeDims")}
    gone = gone or {axis for axis, size in enumerate(shape) if size == 1}
    if any(shape[axis] != 1 for axis in gone):
        raise op.damaged("removes an axis that is not of size 1", f"{sorted(gone)} of {shape}")
    _reshaped(op, [size for axis, size in enumerate(shape) if axis not in gone])


def _expand_dims(op: Operation) -> None:
    shape, axes = list(op.shape(0)), op.ints(1)
    if len(axes) != 1:
        raise op.damaged("needs one axis", axes[:4])
    shape.insert(axis_of(op, axes[0], len(shape) + 1), 1)
    _reshaped(op, shape)


IMPORTERS = {
    "RESHAPE": Importer(_reshape, "ReshapeOptions"),
    "SQUEEZE": Importer(_squeeze, "SqueezeOptions"),
    "EXPAND_DIMS": Importer(_expand_dims),
}
