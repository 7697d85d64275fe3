"""A network as a list of operations on views: what lowering makes and emission writes out.

Purpose: the data between the two; each operation says what it reads and writes and gives its C.
Guarantees: operations run in list order and have no effect outside the views they name.
Does not guarantee: anything about operations that write one storage twice; lowering keeps such writes apart in time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

from kakuri.codegen.targets import Isa
from kakuri.codegen.views import Kind, Storage, View
from kakuri.codegen.weights import Weights, aligned


class Operation(ABC):
    """One step. name: the layer it belongs to, for people; it reaches the C only as a comment, on request."""

    name: str

    @property
    @abstractmethod
    def reads(self) -> tuple[View, ...]: ...

    @property
    @abstractmethod
    def writes(self) -> tuple[View, ...]: ...

    @property
    def runtime(self) -> tuple[str, ...]:
        """Files of ``kakuri/codegen/runtime`` whose functions the body calls."""
        return ()

    @property
    def definitions(self) -> tuple[str, ...]:
        """C at file scope that several operations may share; equal texts are written once."""
        return ()

    @property
    def scratch_bytes(self) -> int:
        """Memory needed only while the operation runs; ``S`` in the body."""
        return 0

    def tiles(self, isa: Isa) -> set[tuple[int, int]]:
        """Register tiles (pixels, vectors) of ``conv.h`` that the body uses on ``isa``."""
        return set()

    def dot_tiles(self, isa: Isa) -> set[tuple[int, int]]:
        """Register tiles of ``dot.h``."""
        return set()

    @abstractmethod
    def body(self) -> str:
        """The C of the step; A, W, S, in and out are in scope."""


@dataclass(frozen=True)
class Part:
    """What is computed with one piece of the weights in the window: ``plain`` lies there from its start."""

    operation: Operation
    plain: bytes = b""


@dataclass
class Program:
    """inputs, outputs: the views of the caller's memory. values: value name of the model -> where it lies.

    parts: per operation what it is computed in, where its weights are opened piece by piece; empty otherwise.
    shares: per operation what threads compute side by side, each in its own scratch memory; empty for one thread.
    """

    name: str
    inputs: list[View]
    input_names: list[str]
    outputs: list[View]
    output_names: list[str]
    weights: Weights
    operations: list[Operation] = field(default_factory=list)
    values: dict[str, View] = field(default_factory=dict)
    arena_bytes: int = 0
    scratch_offset_bytes: int = 0
    parts: list[list[Part]] = field(default_factory=list)
    window_offset_bytes: int = 0
    shares: list[list[Operation]] = field(default_factory=list)
    share_scratch_bytes: int = 0

    @property
    def multiplies_bytes(self) -> bool:
        """Whether any step needs the instruction sets' products of 8-bit numbers."""
        return any("dot.h" in operation.runtime for operation in self.operations)

    @property
    def emitted(self) -> list[Operation]:
        """The operations as they stand in the C."""
        cut = [part.operation for parts in self.parts for part in parts] or self.operations
        return [*cut, *(part for shares in self.shares if len(shares) > 1 for part in shares)]

    def lifetimes(self) -> dict[Storage, tuple[int, int]]:
        """Arena storage -> index of the first and last operation that touches it."""
        spans: dict[Storage, tuple[int, int]] = {}
        for index, storage in self._touched():
            first, _ = spans.get(storage, (index, index))
            spans[storage] = (first, index)
        return spans

    def _touched(self) -> Iterator[tuple[int, Storage]]:
        for index, operation in enumerate(self.operations):
            for view in (*operation.reads, *operation.writes):
                if view.storage.kind is Kind.ARENA:
                    yield index, view.storage

    def place(self) -> None:
        """Give every arena storage its offset: the largest first, each at the lowest place free while it lives."""
        spans = self.lifetimes()
        placed: list[Storage] = []
        for storage in sorted(spans, key=lambda s: (-s.size_bytes, spans[s])):
            first, last = spans[storage]
            taken = sorted(
                (other.offset_bytes, other.offset_bytes + aligned(other.size_bytes))
                for other in placed
                if spans[other][0] <= last and first <= spans[other][1]
            )
            offset = 0
            for start, end in taken:
                if offset + storage.size_bytes <= start:
                    break
                offset = max(offset, end)
            storage.offset_bytes = offset
            placed.append(storage)
        top = max((s.offset_bytes + aligned(s.size_bytes) for s in placed), default=0)
        self.scratch_offset_bytes = top
        self.arena_bytes = top + aligned(max((o.scratch_bytes for o in self.operations), default=0))


def pointer(view: View, *, offset: int = 0) -> str:
    """C expression of the view's first element, ``offset`` elements further."""
    storage, elements = view.storage, view.offset + offset
    kind, c = storage.kind, view.element.c
    if kind is Kind.ARENA:
        return f"({c} *)(A + {storage.offset_bytes + elements * view.element.size_bytes})"
    if kind is Kind.WEIGHTS:
        return f"(const {c} *)(W + {storage.offset_bytes + elements * view.element.size_bytes})"
    const = "const " if kind is Kind.INPUT else ""
    base = "in" if kind is Kind.INPUT else "out"
    return f"(({const}{c} *){base}[{storage.index}] + {elements})"
