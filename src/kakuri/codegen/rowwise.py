"""Operations that can compute any run of rows of their map: what ``chain`` puts together and threads share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from kakuri.codegen.program import Operation
from kakuri.codegen.targets import Isa
from kakuri.codegen.views import View


@dataclass(frozen=True)
class Span:
    """Output row h reads the input rows from h * step - before on, ``reach`` of them."""

    step: int = 1
    reach: int = 1
    before: int = 0

    def first(self, row: int) -> int:
        """The first input row that is read; negative in the padding above."""
        return row * self.step - self.before

    def end(self, row: int) -> int:
        """The input row after the last one that output rows below ``row`` read."""
        return row * self.step + self.beyond

    @property
    def beyond(self) -> int:
        return self.reach - self.before - self.step


class Rowwise(Operation):
    """From one map (1, c, h, w) to another. ``tag`` keeps apart the C variables of several in one function."""

    source: View
    target: View

    @property
    @abstractmethod
    def span(self) -> Span | None:
        """None when the operation is not of this kind after all: several samples or groups, no map."""

    @abstractmethod
    def constants(self, tag: str) -> list[str]:
        """C declarations."""

    @abstractmethod
    def rows(self, tag: str, a: str, c: str, first: str, count: str) -> list[str]:
        """C that computes ``count`` rows from ``first``. a, c: C names of pointers to the first element of the first
        input row that belongs to row ``first`` without padding (h * step), and of the output row."""

    def row_tiles(self, isa: Isa, rows: int) -> set[tuple[int, int]]:
        """As ``tiles``, of a run of so many rows."""
        del isa, rows
        return set()

    @property
    def weights_bytes(self) -> int:
        """That every run of rows reads again."""
        return 0
