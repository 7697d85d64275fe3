"""The packings by name."""

from __future__ import annotations

from typing import Any

from kakuri.encrypted.packings.batch_axis import BatchAxis
from kakuri.encrypted.packings.channel_wise import ChannelWise
from kakuri.encrypted.packings.packing import Packing
from kakuri.errors import KakuriError

PACKINGS: dict[str, type[Packing[Any]]] = {"batch": BatchAxis, "channel": ChannelWise}


def packing(name: str) -> Packing[Any]:
    """Raises KK-E10 for an unknown name."""
    if name not in PACKINGS:
        raise KakuriError(
            "KK-E10",
            "unknown packing",
            got=repr(name),
            limit=", ".join(PACKINGS),
            hint="channel: latency, batch: throughput",
        )
    return PACKINGS[name]()
