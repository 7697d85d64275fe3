"""TFLite bytes, which nobody has vouched for, to a model in normal form.

Purpose: ``load`` for .tflite files.
Guarantees: any input gives a model or a KakuriError; all unsupported operators are named together, and so are all
    problems of the operators that can be looked at.
Does not guarantee: that a protection can run the model; ``kakuri.model.check`` says.
"""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from kakuri.errors import KakuriError, Problem
from kakuri.files import read_bounded
from kakuri.model.importers.onnx import check_result
from kakuri.model.importers.structure import shown
from kakuri.model.importers.tflite.builder import Builder, LostError
from kakuri.model.importers.tflite.operation import Operation
from kakuri.model.importers.tflite.operators import IMPORTERS
from kakuri.model.importers.tflite.source import SourceModel, read
from kakuri.model.limits import DEFAULT_LIMITS, Limits
from kakuri.model.passes.remove_identities import remove_identities


def load_tflite(path: Path, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """Read a .tflite file and bring it to normal form. Raises KK-F12, KK-F13, KK-M02 to KK-M07, KK-M12."""
    return convert(read_bounded(path, limit_bytes=limits.file_bytes), limits)


def convert(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ir.Model:
    """The model in the bytes of a .tflite file. Raises KK-M02 to KK-M07, KK-M12."""
    source = read(data, limits)
    unsupported = _unsupported(source)
    if unsupported:
        raise KakuriError.collect(unsupported)
    builder = Builder(source, limits, len(data))
    for operator in source.operators:
        try:
            operation = Operation(builder, operator, IMPORTERS[operator.kind])
            operation.importer.convert(operation)
        except LostError:
            continue
        except KakuriError as error:
            builder.problems.extend(error.problems)
    builder.add_outputs(source.outputs)
    builder.finish()
    net = remove_identities(builder.net)
    check_result(net)
    return net


def _unsupported(source: SourceModel) -> list[Problem]:
    return [
        Problem(
            "KK-M05",
            f"operator {ascii(operator.kind)[1:-1][:80]} is not supported",
            where=f"node {shown(operator.label)}",
            hint="convert the model without it, or run it outside",
        )
        for operator in source.operators
        if operator.kind not in IMPORTERS
    ]
