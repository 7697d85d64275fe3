"""Where tensors lie: storages, and strided views of them.

Purpose: every tensor of a program is a view; transposing, slicing, reshaping without moving, broadcasting, joining and
padding are arithmetic on offsets and strides.
Guarantees: a view never reaches outside its storage, except into the halo that it states.
Does not guarantee: that a kernel can read every view; kernels ask for the forms they need and copies are inserted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

Shape = tuple[int, ...]
Halo = tuple[int, int, int, int]
NO_HALO: Halo = (0, 0, 0, 0)


class Kind(Enum):
    """What memory a storage is part of."""

    ARENA = "arena"
    INPUT = "input"
    OUTPUT = "output"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class Element:
    """An element type. c: its name in C."""

    name: str
    c: str
    size_bytes: int


F32 = Element("float32", "float", 4)
I32 = Element("int32", "int32_t", 4)
I64 = Element("int64", "int64_t", 8)
I8 = Element("int8", "int8_t", 1)
U8 = Element("uint8", "uint8_t", 1)
ELEMENTS = {item.name: item for item in (F32, I32, I64, I8, U8)}


@dataclass(eq=False)
class Storage:
    """A run of memory. index: which input or output. offset_bytes: in the arena, once planned, or in the weights."""

    kind: Kind
    element: Element
    elements: int
    index: int = 0
    offset_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return self.elements * self.element.size_bytes


@dataclass(frozen=True)
class View:
    """A tensor in ``storage``. offset, strides: in elements.

    halo: rows above and below, pixels left and right of each map that are there and hold zeros; rank 3 and 4 only.
    """

    storage: Storage
    offset: int
    shape: Shape
    strides: Shape
    halo: Halo = NO_HALO

    @property
    def element(self) -> Element:
        return self.storage.element

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def is_dense(self) -> bool:
        """Whether the elements follow each other in row-major order."""
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    def transpose(self, order: Sequence[int]) -> View:
        return View(
            self.storage, self.offset, tuple(self.shape[i] for i in order), tuple(self.strides[i] for i in order)
        )

    def slice(self, axis: int, start: int, size: int, step: int = 1) -> View:
        """Every ``step``-th of the axis from ``start``; ``step`` may be negative. Slices of channels keep the halo."""
        shape, strides = list(self.shape), list(self.strides)
        shape[axis], strides[axis] = size, strides[axis] * step
        keeps = axis == 1 and step == 1
        return View(
            self.storage,
            self.offset + start * self.strides[axis],
            tuple(shape),
            tuple(strides),
            self.halo if keeps else NO_HALO,
        )

    def broadcast(self, shape: Shape) -> View:
        """This view repeated along axes of size 1, and along new leading axes."""
        lead = len(shape) - len(self.shape)
        strides = [0] * lead + [
            0 if size == 1 else stride for size, stride in zip(self.shape, self.strides, strict=True)
        ]
        return View(self.storage, self.offset, shape, tuple(strides))

    def reshape(self, shape: Shape) -> View | None:
        """The same elements in the same row-major order under another shape, or None when that needs a copy."""
        if math.prod(shape) != self.size:
            return None
        runs = _runs(self.shape, self.strides)
        strides: list[int] = []
        remaining = list(shape)
        for size, stride in runs:
            taken: list[int] = []
            while remaining and math.prod(taken) * remaining[0] <= size and (math.prod(taken) < size):
                taken.append(remaining.pop(0))
            if math.prod(taken) != size:
                return None
            inner = stride
            part: list[int] = []
            for extent in reversed(taken):
                part.insert(0, inner)
                inner *= extent
            strides += part
        strides += [0] * len(remaining)  # only axes of size 1 are left
        return View(self.storage, self.offset, shape, tuple(strides))

    def four_axes(self) -> View:
        """A rank-3 map as one of height 1."""
        if len(self.shape) == 4:
            return self
        (n, c, w), (sn, sc, sw) = self.shape, self.strides
        return replace(self, shape=(n, c, 1, w), strides=(sn, sc, 0, sw))


def _runs(shape: Shape, strides: Shape) -> list[tuple[int, int]]:
    """Axes merged wherever they follow each other without gaps: (size, stride), outermost first, none of size 1."""
    runs: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * stride:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    return runs


def row_major(shape: Shape) -> Shape:
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def is_channels_last(view: View) -> bool:
    """Whether a rank-3 or rank-4 view's channels follow each other, so that a pixel is one run."""
    return view.shape[1] == 1 or view.strides[1] == 1


def memory_order(view: View) -> tuple[int, ...]:
    """The axes from the slowest in memory to the fastest."""
    return tuple(sorted(range(len(view.shape)), key=lambda axis: (-abs(view.strides[axis]), axis)))


def allocate(kind: Kind, element: Element, shape: Shape, order: Sequence[int], halo: Halo = NO_HALO) -> View:
    """A new storage with the axes in ``order`` in memory, and a halo around the last two axes of the shape."""
    sizes = list(shape)
    if halo != NO_HALO:
        sizes[-1] += halo[2] + halo[3]
        if len(shape) == 4:
            sizes[-2] += halo[0] + halo[1]
    strides, stride = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = stride
        stride *= sizes[axis]
    offset = halo[2] * strides[-1] + (halo[0] * strides[-2] if len(shape) == 4 else 0) if halo != NO_HALO else 0
    return View(Storage(kind, element, stride), offset, shape, tuple(strides), halo)
