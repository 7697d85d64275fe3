"""Operations that become one because nothing else reads what is between them.

Guarantees: the arithmetic of every element stays the same, in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kakuri.codegen.clear import ClearHalo
from kakuri.codegen.kernels.chain import Chain
from kakuri.codegen.program import Operation
from kakuri.codegen.rowwise import Rowwise
from kakuri.codegen.views import F32, Kind, Storage

_SMALLEST_BYTES = 64 << 10  # of a map that is worth keeping out of the arena
_REREAD_SHARE = 0.5  # weights may be read again while they are so much less than the maps that stay in the cache


def fuse(operations: Sequence[Operation]) -> list[Operation]:
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
            longer = _longer(chain, operation, touched)
        if longer is not None:
            chain = longer
            continue
        found += _ended(chain, found)
        chain = _begun(operation)
        found += [] if chain is not None else [operation]
    return found + _ended(chain, found)


def _begun(operation: Operation) -> Chain | None:
    if not isinstance(operation, Rowwise) or operation.span is None or operation.target.shape[2] == 1:
        return None
    return Chain(operation.name, (operation,), 0, operation.target.shape[2])


def _ended(chain: Chain | None, before: list[Operation]) -> list[Operation]:
    """What the chain comes to; paddings of maps that it keeps to itself are taken out of ``before``."""
    if chain is None:
        return []
    between = {stage.target.storage for stage in chain.stages[:-1]}
    before[:] = [item for item in before if not (isinstance(item, ClearHalo) and item.view.storage in between)]
    return [chain] if between else list(chain.stages)


def _longer(chain: Chain, operation: Operation, touched: Counter[Storage]) -> Chain | None:
    """The chain with ``operation`` at its end, when only that reads what the chain writes, and it pays."""
    begun, last = _begun(operation), chain.stages[-1]
    if begun is None:
        return None
    stage, view = begun.stages[0], last.target
    seen = stage.source
    same = (view.storage, view.offset, view.shape, view.strides) == (
        seen.storage,
        seen.offset,
        seen.shape,
        seen.strides,
    )
    padded = any(view.halo)
    whole = view.storage.kind is Kind.ARENA and view.element is F32 and touched[view.storage] == 2 + padded
    if not same or not whole or view.storage.size_bytes < _SMALLEST_BYTES:
        return None
    longer = Chain(f"{chain.name}, {operation.name}", (*chain.stages, stage), 0, begun.last)
    saved = sum(item.target.storage.size_bytes for item in longer.stages[:-1])
    return longer if longer.rereads_bytes <= _REREAD_SHARE * saved else None
