"""Layers that run row by row together: of the maps between them only the rows in use exist, in scratch memory of the
size of a cache (``runtime/chain.h``).

Guarantees: every element is computed once and as without the chain, except the rows that two parts of a chain share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from kakuri.codegen.program import Operation, pointer
from kakuri.codegen.rowwise import Rowwise, Span
from kakuri.codegen.targets import Isa
from kakuri.codegen.views import View
from kakuri.codegen.weights import aligned

Run = tuple[int, int]


@dataclass(frozen=True)
class Chain(Operation):
    """stages: each reads what the one before writes, and nobody else does. first, last: rows of the last map.

    room_bytes: for the rows between; one row of the last map is always computed at once.
    """

    name: str
    stages: tuple[Rowwise, ...]
    first: int
    last: int
    room_bytes: int

    @property
    def reads(self) -> tuple[View, ...]:
        between = {stage.target.storage for stage in self.stages[:-1]}
        return tuple(view for stage in self.stages for view in stage.reads if view.storage not in between)

    @property
    def writes(self) -> tuple[View, ...]:
        return self.stages[-1].writes

    @property
    def runtime(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(["chain.h", *(name for stage in self.stages for name in stage.runtime)]))

    @property
    def definitions(self) -> tuple[str, ...]:
        return tuple(text for stage in self.stages for text in stage.definitions)

    @property
    def scratch_bytes(self) -> int:
        return sum(self._bytes(self.block))

    def tiles(self, isa: Isa) -> set[tuple[int, int]]:
        found: set[tuple[int, int]] = set()
        for runs in self._schedule(self.block):
            for stage, (start, end) in zip(self.stages, runs, strict=True):
                found |= stage.row_tiles(isa, end - start) if end > start else set()
        return found

    @cached_property
    def block(self) -> int:
        """Rows of the last map that are computed at once: as many as the room allows, all blocks much alike."""
        rows = 1
        while rows < self.last - self.first and sum(self._bytes(rows + 1)) <= self.room_bytes:
            rows += 1
        blocks = -(-(self.last - self.first) // rows)
        return -(-(self.last - self.first) // blocks)

    @property
    def rereads_bytes(self) -> int:
        """Weights that are read again because the rows are not computed at once."""
        blocks = -(-(self.last - self.first) // self.block)
        return (blocks - 1) * sum(stage.weights_bytes for stage in self.stages)

    def _starts(self) -> list[int]:
        """Per stage the first row that it computes."""
        row = self.first
        found = [row]
        for stage in self.stages[:0:-1]:
            row = max(0, stage_span(stage).first(row))
            found.append(row)
        return found[::-1]

    def _schedule(self, block: int) -> Iterator[list[Run]]:
        """Per block the rows (start, end) that each stage computes: what the emitted loop does."""
        done = self._starts()
        for h in range(self.first, self.last, block):
            ends = [min(h + block, self.last)]
            for stage, before in zip(self.stages[:0:-1], self.stages[-2::-1], strict=True):
                ends.append(min(before.target.shape[2], stage_span(stage).end(ends[-1])))
            ends.reverse()
            for i in range(len(done) - 1, 0, -1):
                done[i - 1] = max(done[i - 1], stage_span(self.stages[i]).first(done[i]))
            yield list(zip(done, ends, strict=True))
            done = [max(start, end) for start, end in zip(done, ends, strict=True)]

    def _rooms(self, block: int) -> list[int]:
        """Rows of each map between that are in memory at most."""
        rooms = [0] * (len(self.stages) - 1)
        for runs in self._schedule(block):
            for i, stage in enumerate(self.stages[1:]):
                start, end = runs[i + 1]
                span = stage_span(stage)
                rooms[i] = max(rooms[i], span.end(end) - span.first(start), runs[i][1] - span.first(start))
        return rooms

    def _bytes(self, block: int) -> list[int]:
        pairs = zip(self._rooms(block), self.stages, strict=False)
        return [aligned(rows * stage.target.strides[2] * 4) for rows, stage in pairs]

    def body(self) -> str:
        count, starts = len(self.stages), self._starts()
        rooms, offset = self._rooms(self.block), 0
        lines = [line for i, stage in enumerate(self.stages) for line in stage.constants(str(i))]
        lines.append(f"const float *source = {pointer(self.stages[0].source)};")
        lines.append(f"float *target = {pointer(self.stages[-1].target)};")
        for i, (size, stage) in enumerate(zip(self._bytes(self.block), self.stages, strict=False)):
            view, begin = stage.target, stage_span(self.stages[i + 1]).first(starts[i + 1])
            where = f"(float *)(S + {offset}), {view.strides[2]}"
            left, right = (side * view.strides[3] for side in view.halo[2:])
            lines += [
                f"kk_rolling m{i} = {{{where}, {view.shape[2]}, {begin}, {starts[i]}}};",
                f"kk_roll_begin(&m{i}, {rooms[i]}, {left}, {right});",
            ]
            offset += size
        lines.append(f"for (int h = {self.first}; h < {self.last}; h += {self.block}) {{")
        lines.append(f"    const int e{count - 1} = kk_least(h + {self.block}, {self.last});")
        for i in range(count - 1, 0, -1):
            span = stage_span(self.stages[i])
            end = f"e{i} * {span.step} + {span.beyond}"
            start = "h" if i == count - 1 else f"m{i}.done"
            lines.append(f"    const int e{i - 1} = kk_least({self.stages[i - 1].target.shape[2]}, {end});")
            lines.append(f"    kk_roll(&m{i - 1}, {start} * {span.step} - {span.before}, {end});")
        for i in range(count):
            lines += [f"    {line}" for line in self._call(i)]
        return "\n".join([*lines, "}"])

    def _call(self, i: int) -> list[str]:
        stage, last = self.stages[i], i == len(self.stages) - 1
        span, first = stage_span(stage), "h" if last else f"m{i}.done"
        row, source = stage.source.strides[2], f"{first} * {span.step}"
        lines = [f"const float *a = source + (ptrdiff_t)({source}) * {row};"]
        if i:
            left = self.stages[i - 1].target.halo[2] * self.stages[i - 1].target.strides[3]
            lines = [f"const float *a = m{i - 1}.at + ({source} - m{i - 1}.first) * m{i - 1}.row + {left};"]
        if last:
            lines.append(f"float *c = target + (ptrdiff_t)h * {stage.target.strides[2]};")
        else:
            left = stage.target.halo[2] * stage.target.strides[3]
            lines.append(f"float *c = m{i}.at + ({first} - m{i}.first) * m{i}.row + {left};")
        lines.append(f"const int count = e{i} - {first};")
        lines += stage.rows(str(i), "a", "c", first, "count")
        lines += [] if last else [f"m{i}.done += count;"]
        return ["{", *(f"    {line}" for line in lines), "}"]


def stage_span(stage: Rowwise) -> Span:
    span = stage.span
    assert span is not None, stage.name
    return span
