"""FlatBuffers that nobody has vouched for.

Purpose: tables, vectors and strings of a file, each offset checked before it is followed.
Guarantees: nothing outside the file's bytes is read; a value lies inside its table, a vector inside the file; what
    all vectors and strings of a file hold together is bounded by the file's size, so that shared or nested offsets
    cannot multiply the work; anything else is KK-M02. Offsets point forward, so that reading ends.
Does not guarantee: that what the file says makes sense; ``source`` checks that.
Source: the FlatBuffers binary format (internals), the identifier TFL3.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.model.importers.tflite import schema

IDENTIFIER = b"TFL3"


def damaged(what: str) -> KakuriError:
    return KakuriError("KK-M02", f"not a TFLite file: {what}", hint="the file is damaged or in another format")


class Buffer:
    """A file's bytes with a budget for what may be read from them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._budget_bytes = 2 * len(data) + 1024

    def root(self, table: str) -> Table:
        """The table that the file holds. Raises KK-M02."""
        if self.data[4:8] != IDENTIFIER:
            raise damaged("no TFL3 identifier")
        return Table(self, self.follow(0), table)

    def unpack(self, form: str, position: int) -> float:
        """One little-endian number."""
        if not 0 <= position <= len(self.data) - struct.calcsize(form):
            raise damaged("an offset points outside the file")
        value: float = struct.unpack_from(form, self.data, position)[0]
        return value

    def follow(self, position: int) -> int:
        """Where the unsigned offset at ``position`` points."""
        offset = int(self.unpack("<I", position))
        if offset == 0:
            raise damaged("an offset points at itself")
        return position + offset

    def spend(self, size_bytes: int) -> None:
        self._budget_bytes -= size_bytes
        if self._budget_bytes < 0:
            raise damaged("its parts overlap")

    def extent(self, position: int, item_bytes: int) -> tuple[int, int]:
        """First byte and length of the vector at ``position``, which lies inside the file."""
        count, start = int(self.unpack("<I", position)), position + 4
        if count * item_bytes > len(self.data) - start:
            raise damaged("a vector reaches outside the file")
        return start, count


class Table:
    """One table, read by the field names of ``schema``."""

    def __init__(self, buffer: Buffer, position: int, name: str) -> None:
        self.buffer, self.position, self.name = buffer, position, name
        self._vtable = position - int(buffer.unpack("<i", position))
        self._vtable_bytes = int(buffer.unpack("<H", self._vtable))
        self._bytes = int(buffer.unpack("<H", self._vtable + 2))
        fits = self._vtable_bytes >= 4 and self._vtable_bytes % 2 == 0 and self._bytes >= 4
        ends = max(self._vtable + self._vtable_bytes, position + self._bytes)
        if not fits or ends > len(buffer.data):
            raise damaged(f"a {name} is malformed")

    def _place(self, field: schema.Field, size_bytes: int) -> int | None:
        """Position of a field's value, None when the table leaves it out."""
        entry = 4 + 2 * field.slot
        if entry + 2 > self._vtable_bytes:
            return None
        offset = int(self.buffer.unpack("<H", self._vtable + entry))
        if offset == 0:
            return None
        if offset < 4 or offset + size_bytes > self._bytes:
            raise damaged(f"a {self.name} is malformed")
        return self.position + offset

    def number(self, name: str) -> float:
        """A scalar field, or its default."""
        field = schema.fields(self.name)[name]
        if field.format is None:
            raise TypeError(f"{self.name}.{name} is not a scalar")
        place = self._place(field, struct.calcsize(field.format))
        return field.default if place is None else self.buffer.unpack(field.format, place)

    def integer(self, name: str) -> int:
        return int(self.number(name))

    def _reference(self, name: str) -> int | None:
        place = self._place(schema.fields(self.name)[name], 4)
        return None if place is None else self.buffer.follow(place)

    def table(self, name: str, kind: str) -> Table | None:
        """The table of type ``kind`` that a field points at."""
        position = self._reference(name)
        return None if position is None else Table(self.buffer, position, kind)

    def tables(self, name: str, kind: str, limit: int) -> list[Table]:
        """A vector of tables. Raises KK-M03 when there are more than ``limit``."""
        position = self._reference(name)
        if position is None:
            return []
        start, count = self.buffer.extent(position, 4)
        if count > limit:
            raise KakuriError("KK-M03", f"too many entries of {kind}", got=count, limit=limit)
        self.buffer.spend(4 * count)
        return [Table(self.buffer, self.buffer.follow(start + 4 * index), kind) for index in range(count)]

    def vector(self, name: str, dtype: str, *, shared: bool = False) -> NDArray[np.generic] | None:
        """A vector of numbers as a read-only view of the file; None when it is left out.

        shared: legitimate files point at it more than once.
        """
        position = self._reference(name)
        if position is None:
            return None
        kind = np.dtype(dtype)
        start, count = self.buffer.extent(position, kind.itemsize)
        self.buffer.spend(0 if shared else count * kind.itemsize)
        return np.frombuffer(self.buffer.data, kind, count, start)

    def integers(self, name: str, dtype: str = "<i4") -> tuple[int, ...]:
        """A vector of integers; empty when it is left out."""
        found = self.vector(name, dtype)
        return () if found is None else tuple(int(item) for item in found)

    def text(self, name: str) -> str:
        """A string; bytes that are not UTF-8 are replaced."""
        found = self.vector(name, "<u1")
        return "" if found is None else found.tobytes().decode("utf-8", "replace")
