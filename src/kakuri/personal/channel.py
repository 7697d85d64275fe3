"""The one way out of the confined process: records of 16 bytes, with almost nothing free in them.

Purpose: progress and the result's counts, from a process that is not trusted to keep quiet.
Guarantees: the reader accepts one shape of conversation: epochs count up by one, never beyond the number that the
parent fixed, then one result; anything else ends the child (KK-P30). So a whole run can carry at most ``capacity_bits``
chosen by the child, and they reach the parent process of the same user, which shows numbers and sends nothing.
Does not guarantee: silence in timing.

Record (big-endian): kind u8, loss u8, epoch u16, six u16. EPOCH: loss in sixteenths, rest zero. RESULT: general,
correct before, correct after, false personal, peak memory MiB, processor seconds. ERROR: the number of a KK-P code.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kakuri.errors import KakuriError

EPOCH, RESULT, ERROR = 1, 2, 3
_RECORD = struct.Struct(">BBH6H")
_MOST = 0xFFFF


@dataclass(frozen=True)
class Report:
    """What the child says at the end. general: guard samples; the three counts behind it are of them."""

    general: int
    correct_before: int
    correct_after: int
    false_personal: int
    peak_mebibytes: int
    cpu_seconds: int


@dataclass(frozen=True)
class Progress:
    epoch: int
    loss: float


def capacity_bits(epochs: int) -> int:
    """An upper bound of what one run can say: the loss of every epoch, and the last record."""
    return 8 * epochs + 8 * _RECORD.size


class Speaker:
    """The child's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def epoch(self, index: int, loss: float) -> None:
        coarse = min(255, max(0, round(16 * loss))) if math.isfinite(loss) else 255
        os.write(self._descriptor, _RECORD.pack(EPOCH, coarse, index, *[0] * 6))

    def result(self, report: Report) -> None:
        fields = (min(_MOST, max(0, value)) for value in vars(report).values())
        os.write(self._descriptor, _RECORD.pack(RESULT, 0, 0, *fields))

    def error(self, code: str) -> None:
        """``code`` of the form KK-Xnn; only its letter and number cross."""
        os.write(self._descriptor, _RECORD.pack(ERROR, ord(code[3]), int(code[4:]), *[0] * 6))


def listen(stream: BinaryIO, epochs: int) -> Iterator[Progress | Report]:
    """Yields what the child says; the last item is its report. Raises KK-P30 for anything out of order.

    Raises the child's own code, without its words, when it reports an error, and KK-P31 when it falls silent.
    """
    last = -1
    while True:
        data = _whole(stream)
        if not data:
            raise KakuriError("KK-P31", "training stopped before its end", hint="run again; it goes on where it was")
        if len(data) != _RECORD.size:
            raise _out_of_order("a broken record")
        kind, coarse, epoch, *fields = _RECORD.unpack(data)
        if kind == EPOCH and last < epoch < epochs and not any(fields) and (last < 0 or epoch == last + 1):
            last = epoch
            yield Progress(epoch, coarse / 16)
        elif kind == RESULT and coarse == epoch == 0:
            report = Report(*fields)
            if max(report.correct_before, report.correct_after, report.false_personal) > report.general:
                raise _out_of_order("counts that cannot be")
            if stream.read(1):
                raise _out_of_order("words after the last")
            yield report
            return
        elif kind == ERROR and chr(coarse) in "DFKPZ" and epoch <= 99 and not any(fields):
            code = f"KK-{chr(coarse)}{epoch:02d}"
            raise KakuriError(code, "the confined process refused its inputs", hint="the code is all that it may say")
        else:
            raise _out_of_order(f"record of kind {kind}")


def _whole(stream: BinaryIO) -> bytes:
    """One record, or what there is before the end."""
    parts = b""
    while len(parts) < _RECORD.size and (part := stream.read(_RECORD.size - len(parts))):
        parts += part
    return parts


def _out_of_order(got: str) -> KakuriError:
    return KakuriError(
        "KK-P30",
        "the confined process said something that it may not say",
        got=got,
        hint="it was ended and nothing was installed; look for a planted library",
    )
