"""Operations that become one because nothing else reads what is between them.

Guarantees: the arithmetic of every element stays the same, in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kakuri.codegen.kernels.separable import separable
from kakuri.codegen.program import Operation
from kakuri.codegen.views import Kind, Storage


def fuse(operations: Sequence[Operation]) -> list[Operation]:
    """``operations`` with every depthwise and pointwise pair, one right after the other, as one."""
    touched: Counter[Storage] = Counter(
        view.storage for operation in operations for view in (*operation.reads, *operation.writes)
    )
    found: list[Operation] = []
    for operation in operations:
        before = found[-1] if found else None
        pair = separable(before, operation) if before is not None else None
        if pair is not None and pair.between.kind is Kind.ARENA and touched[pair.between] == 2:
            found[-1] = pair
        else:
            found.append(operation)
    return found
