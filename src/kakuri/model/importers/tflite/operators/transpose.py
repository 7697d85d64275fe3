"""TRANSPOSE; between the file's layout and channels first it is only another name."""

from __future__ import annotations

import onnx_ir as ir

from kakuri.model.importers.tflite.operation import Importer, Operation
from kakuri.model.importers.tflite.tensors import TO_FIRST, TO_LAST, Layout


def _transpose(op: Operation) -> None:
    axes, source, output, build = op.ints(1), op.input(0), op.output, op.builder
    rank = len(op.shape(0))
    axes = tuple(axis % rank if -rank <= axis < rank else -1 for axis in axes)
    if sorted(axes) != list(range(rank)):
        raise op.damaged("has axes that do not fit its input", axes[:8])
    if source.source.type != output.source.type:
        raise op.damaged("changes the type", f"{source.source.type} to {output.source.type}")
    if axes == TO_FIRST and source.has(Layout.FIRST):
        op.moved(op.raw(0, Layout.FIRST))
        return

    def plain() -> ir.Value:
        return build.transpose(op.raw(0), axes, op.label)

    if axes == TO_LAST and rank == len(TO_LAST):
        output.makers[Layout.SOURCE] = plain
        output.makers[Layout.FIRST] = lambda: op.raw(0)
    else:
        op.moved(plain())


IMPORTERS = {"TRANSPOSE": Importer(_transpose)}
