"""One line of SVG: chance, measured, unprotected.

Purpose: show where a measured value stands between nothing and everything.
Guarantees: positions are the numbers given, cut to 0 ... 1; the same numbers stand in the label for screen readers.
"""

from __future__ import annotations

from kakuri.attacks import Estimate
from kakuri.audit.html import Markup, tag
from kakuri.units import percent_text

_WIDTH, _HEIGHT, _MARGIN = 280, 34, 8
_LEAST_BAND, _LEAST_INTERVAL = 3.0, 2.0


def interval_bar(ours: Estimate, chance: Estimate, unprotected: Estimate) -> Markup:
    """A band for chance, a dot with its interval for ``ours``, a diamond for ``unprotected``."""
    middle = _HEIGHT / 2
    band_x, band_width = _span(chance, _LEAST_BAND)
    line_x, line_width = _span(ours, _LEAST_INTERVAL)
    diamond = f"M{_x(unprotected.value):.1f} {middle - 6:.1f} l6 6 l-6 6 l-6 -6 z"
    label = ", ".join(
        f"{name} {percent_text(value.value)}"
        for name, value in (("measured", ours), ("chance", chance), ("unprotected", unprotected))
    )
    ticks = (tag("line", class_="tick", x1=_x(t / 4), x2=_x(t / 4), y1=middle - 3, y2=middle + 3) for t in range(5))
    return tag(
        "svg",
        tag("line", class_="axis", x1=_x(0.0), x2=_x(1.0), y1=middle, y2=middle),
        *ticks,
        tag("rect", class_="chance", x=band_x, y=4, width=band_width, height=_HEIGHT - 8, rx=2),
        tag("path", class_="plain", d=diamond),
        tag("rect", class_="ours", x=line_x, y=middle - 1.5, width=line_width, height=3, rx=1.5),
        tag("circle", class_="ours", cx=_x(ours.value), cy=middle, r=5),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=label,
    )


def _x(value: float) -> float:
    return _MARGIN + min(max(value, 0.0), 1.0) * (_WIDTH - 2 * _MARGIN)


def _span(estimate: Estimate, least: float) -> tuple[float, float]:
    """Start and width of an interval, at least ``least`` wide and then centred."""
    start, width = _x(estimate.low), _x(estimate.high) - _x(estimate.low)
    return start - max(0.0, least - width) / 2, max(width, least)
