"""Operations that become one because nothing else reads what is between them.

Guarantees: the arithmetic of every element stays the same, in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kakuri.codegen.clear import ClearHalo
from kakuri.codegen.kernels.chain import Chain
from kakuri.codegen.program import Operation
from kakuri.codegen.rowwise import Rowwise
from kakuri.codegen.views import F32, Kind, Storage, View


@dataclass(frozen=True)
class Cache:
    """When a chain pays. room_bytes: for the rows between its layers. smallest_bytes: of a map worth keeping out of
    the arena. reread: weights may be read again while they are at most this share of the maps that stay in the cache.
    """

    room_bytes: int = 256 << 10
    smallest_bytes: int = 64 << 10
    reread: float = 0.25


STANDARD = Cache()


def fuse(operations: Sequence[Operation], cache: Cache = STANDARD) -> list[Operation]:
    """``operations`` with layers that run row by row together as chains; paddings are written before them."""
    touched: Counter[Storage] = Counter(
        view.storage for operation in operations for view in (*operation.reads, *operation.writes)
    )
    found: list[Operation] = []
    chain: Chain | None = None
    for operation in operations:
        longer = None
        if isinstance(operation, ClearHalo) and chain is not None:
            found.append(operation)
            continue
        if chain is not None:
            longer = _longer(chain, operation, touched, cache)
        if longer is not None:
            chain = longer
            continue
        found += _ended(chain, found)
        chain = _begun(operation, cache)
        found += [] if chain is not None else [operation]
    return found + _ended(chain, found)


def _begun(operation: Operation, cache: Cache) -> Chain | None:
    if not isinstance(operation, Rowwise) or operation.span is None or operation.target.shape[2] == 1:
        return None
    return Chain(operation.name, (operation,), 0, operation.target.shape[2], cache.room_bytes)


def _ended(chain: Chain | None, before: list[Operation]) -> list[Operation]:
    """What the chain comes to; paddings of maps that it keeps to itself are taken out of ``before``."""
    if chain is None:
        return []
    between = {stage.target.storage for stage in chain.stages[:-1]}
    before[:] = [item for item in before if not (isinstance(item, ClearHalo) and item.view.storage in between)]
    return [chain] if between else list(chain.stages)


def _longer(chain: Chain, operation: Operation, touched: Counter[Storage], cache: Cache) -> Chain | None:
    """The chain with ``operation`` at its end, when only that reads what the chain writes, and it pays."""
    begun, last = _begun(operation, cache), chain.stages[-1]
    if begun is None:
        return None
    stage, view = begun.stages[0], last.target
    same = _place(view) == _place(stage.source)
    padded = any(view.halo)
    whole = view.storage.kind is Kind.ARENA and view.element is F32 and touched[view.storage] == 2 + padded
    if not same or not whole or view.storage.size_bytes < cache.smallest_bytes:
        return None
    stages = (*chain.stages, stage)
    longer = replace(begun, name=f"{chain.name}, {operation.name}", stages=stages)
    saved = sum(item.target.storage.size_bytes for item in stages[:-1])
    return longer if longer.rereads_bytes <= cache.reread * saved else None


def _place(view: View) -> tuple[object, ...]:
    return view.storage, view.offset, view.shape, view.strides
