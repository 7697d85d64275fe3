"""How much an untrusted model may ask for.

Purpose: the bounds that loading enforces before it allocates.
Guarantees: every bound is checked on declared sizes, before memory for them is taken.
Does not guarantee: that a model within the bounds runs fast.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on a model file and on what its graph declares.

    file_bytes: the file together with its external data. nodes, initializers: how many. rank: axes of one tensor.
    value_elements: elements of one tensor, constant or computed. folded_elements: elements that constant folding may
    compute in total. name_characters: length of one name. attribute_items: entries of one list attribute.
    """

    file_bytes: int = 1 << 30
    nodes: int = 50_000
    initializers: int = 50_000
    rank: int = 8
    value_elements: int = 1 << 28
    folded_elements: int = 1 << 26
    name_characters: int = 512
    attribute_items: int = 4096


DEFAULT_LIMITS = Limits()
