"""The ways to hide a matrix product, one per file."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from kakuri.errors import KakuriError
from kakuri.offload.tiers.additive_shares import AdditiveShares
from kakuri.offload.tiers.block_orthogonal import BlockOrthogonal
from kakuri.offload.tiers.signed_permutation import SignedPermutation
from kakuri.offload.tiers.tier import Blinding, Left, Right, Tier

__all__ = ["BLINDING", "TIERS", "AdditiveShares", "Blinding", "Left", "Right", "Scheme", "Tier", "tier"]

Scheme = Tier | AdditiveShares

BLINDING: Mapping[str, Tier] = MappingProxyType({item.name: item for item in (SignedPermutation(), BlockOrthogonal())})
TIERS: Mapping[str, Scheme] = MappingProxyType({**BLINDING, "T3": AdditiveShares()})


def tier(name: str) -> Scheme:
    """Raises KK-O02 for a name that does not exist."""
    if name not in TIERS:
        close = get_close_matches(name, TIERS, 1, 0.4)
        hint = f"did you mean {close[0]!r}?" if close else ""
        raise KakuriError("KK-O02", "no such tier", got=repr(name), limit=", ".join(TIERS), hint=hint)
    return TIERS[name]
