"""The TFLite schema, read off the ``tflite`` package.

Purpose: slot, kind and default of every table field, by the names that the package's generated code uses.
Guarantees: nothing is copied by hand: a field's entry is what the package's own builder would write for it.
Does not guarantee: that a file keeps to the schema; ``flatbuffer`` checks that while it reads.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from kakuri.errors import KakuriError

#: struct format of each scalar, by the name of the builder's method that writes it; None is an offset.
_KINDS = {
    "PrependBoolSlot": "<?",
    "PrependInt8Slot": "<b",
    "PrependUint8Slot": "<B",
    "PrependInt16Slot": "<h",
    "PrependUint16Slot": "<H",
    "PrependInt32Slot": "<i",
    "PrependUint32Slot": "<I",
    "PrependInt64Slot": "<q",
    "PrependUint64Slot": "<Q",
    "PrependFloat32Slot": "<f",
    "PrependFloat64Slot": "<d",
    "PrependUOffsetTRelativeSlot": None,
}


@dataclass(frozen=True)
class Field:
    """Where a field stands in its table's vtable, its struct format (None: an offset) and its default."""

    slot: int
    format: str | None
    default: float


class _Recorder:
    """A stand-in for a FlatBuffers builder that notes what a generated ``Add`` function asks for."""

    def __init__(self) -> None:
        self.field: Field | None = None

    def __getattr__(self, name: str) -> Callable[[int, object, float], None]:
        kind = _KINDS[name]

        def note(slot: int, _: object, default: float) -> None:
            self.field = Field(slot, kind, default)

        return note


def _package() -> ModuleType:
    try:
        return importlib.import_module("tflite")
    except ImportError:
        raise KakuriError(
            "KK-M12", "reading TFLite files needs the tflite package", hint='pip install "kakuri[tflite]"'
        ) from None


@functools.cache
def fields(table: str) -> dict[str, Field]:
    """Every field of ``table`` ("Conv2DOptions") by its name in the package ("StrideW"). Raises KK-M12."""
    package, prefix, found = _package(), f"{table}Add", {}
    # a table whose name begins like this one's has Add functions of its own under the same prefix
    readers = set(dir(getattr(package, table)))
    for name in dir(package):
        field = name.removeprefix(prefix)
        if name.startswith(prefix) and field in readers:
            recorder = _Recorder()
            getattr(package, name)(recorder, 0)
            if recorder.field is not None:
                found[field] = recorder.field
    return found


@functools.cache
def names(enumeration: str) -> dict[int, str]:
    """Number to name of one of the schema's enumerations ("TensorType"). Raises KK-M12."""
    return {number: name for name, number in vars(getattr(_package(), enumeration)).items() if isinstance(number, int)}


@functools.cache
def number(enumeration: str, name: str) -> int:
    """The number of ``name`` in an enumeration. Raises KK-M12."""
    return int(getattr(getattr(_package(), enumeration), name))
