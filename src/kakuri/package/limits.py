"""What a package may cost before anything in it is believed."""

from __future__ import annotations

from dataclasses import dataclass

from kakuri.errors import KakuriError

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """Refusals happen before allocation. ``manifest_bytes`` also bounds the zip's own directory.

    ``read_bytes``: the largest entry that ``Package.read`` copies into memory; ``Package.view`` maps larger ones.
    """

    package_bytes: int = 64 * GIB
    entry_bytes: int = 64 * GIB
    read_bytes: int = 2 * GIB
    entries: int = 4096
    manifest_bytes: int = 4 * MIB

    def __post_init__(self) -> None:
        low = {name: value for name, value in vars(self).items() if value < 1}
        if low:
            raise KakuriError("KK-F20", "limits must be positive", where="package.Limits", got=low, limit=">= 1")
