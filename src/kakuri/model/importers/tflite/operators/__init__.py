"""Every operator that the importer knows: one family, one file, a table ``IMPORTERS`` in each.

To add one: copy ``resize.py`` (spatial), ``unary.py`` (any layout) or ``gather.py`` (the file's layout), add the
table here, and a case to ``tests/unit/model/tflite/test_operators.py``, which runs LiteRT beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kakuri.model.importers.tflite.operation import Importer
from kakuri.model.importers.tflite.operators import (
    binary,
    blocks,
    constants,
    conv,
    dense,
    gather,
    join,
    lstm,
    pad,
    pool,
    quantize,
    reduce,
    reshape,
    resize,
    slice,
    softmax,
    transpose,
    transpose_conv,
    unary,
)

IMPORTERS: Mapping[str, Importer] = {
    **binary.IMPORTERS,
    **blocks.IMPORTERS,
    **constants.IMPORTERS,
    **conv.IMPORTERS,
    **dense.IMPORTERS,
    **gather.IMPORTERS,
    **join.IMPORTERS,
    **lstm.IMPORTERS,
    **pad.IMPORTERS,
    **pool.IMPORTERS,
    **quantize.IMPORTERS,
    **reduce.IMPORTERS,
    **reshape.IMPORTERS,
    **resize.IMPORTERS,
    **slice.IMPORTERS,
    **softmax.IMPORTERS,
    **transpose.IMPORTERS,
    **transpose_conv.IMPORTERS,
    **unary.IMPORTERS,
}
