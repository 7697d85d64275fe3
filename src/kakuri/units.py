"""Numbers as people read them."""

from __future__ import annotations


def bytes_text(count_bytes: int) -> str:
    """``512 bytes``, ``1.5 MiB``."""
    value = float(count_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{count_bytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def percent_text(share: float) -> str:
    """``0.123`` as ``12.3%``, without a negative zero."""
    return f"{round(share, 3) + 0.0:.1%}"


def seconds_text(seconds: float) -> str:
    """``12 ms``, ``3.4 s``, ``2 min 5 s``."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
