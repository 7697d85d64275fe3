"""JSON with one spelling, for headers that are hashed, signed or parsed from untrusted bytes.

Purpose: ``plain`` turns settings into JSON types, ``encode`` writes them, ``decode`` reads untrusted bytes.
Guarantees: ASCII, no spaces, finite numbers, 64-bit integers, unique keys, at most ``MAX_DEPTH`` levels. ``plain``
sorts the keys of every object, so that equal values give equal bytes.
Does not guarantee: a bound on memory; give ``decode`` bytes of a bounded length (a parsed object is at most about 30
times larger).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeAlias

from kakuri.errors import KakuriError

MAX_DEPTH = 64

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: object, where: str = "content", depth: int = 0) -> Json:
    """A copy of ``value`` made of JSON types only. Raises KK-F24 that names the place of anything else.

    Tuples become lists. Keys must be text, numbers finite and integers within 64 bits.
    """
    if depth > MAX_DEPTH:
        raise KakuriError("KK-F24", "nested too deeply", where=where, limit=f"{MAX_DEPTH} levels")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]"[:200], depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return plain_object(value, where, depth)
    raise KakuriError(
        "KK-F24", "not a JSON value", where=where, got=repr(value)[:80], hint="put arrays and bytes into entries"
    )


def plain_object(value: Mapping[str, object], where: str = "content", depth: int = 0) -> dict[str, Json]:
    """``plain`` for an object, keys sorted."""
    for key in value:
        if not isinstance(key, str):
            raise KakuriError("KK-F24", "keys must be text", where=where, got=repr(key)[:80])
    return {key: plain(value[key], f"{where}.{key}"[:200], depth + 1) for key in sorted(value)}


def encode(value: Json) -> bytes:
    """Keys stay in their order: sort them with ``plain`` first where the order carries no meaning."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(data: bytes, code: str, where: str) -> dict[str, Json]:
    """The object that ``data`` spells. Raises ``code`` for anything else, for a repeated key and for NaN or
    infinity."""
    try:
        document = json.loads(data.decode("ascii"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise KakuriError(code, "not the JSON of a header", where=where, got=str(error)[:120]) from None
    if not isinstance(document, dict):
        raise KakuriError(code, "not a JSON object", where=where, got=type(document).__name__)
    return document


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def _no_constant(text: str) -> Json:
    raise ValueError(f"{text} is not a number")
