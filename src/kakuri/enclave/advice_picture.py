"""Leak against cost as one SVG picture."""

from __future__ import annotations

import math
from html import escape

from kakuri.enclave.advisor import Advice, Cut
from kakuri.units import bytes_text

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 420, 70, 60, 40
_FONT = 'font-family="sans-serif" font-size="12"'


def picture(advice: Advice) -> str:
    """Across: secure memory, logarithmic; up: share of the way from the answers alone to the whole network."""
    sizes = [math.log(cut.secure_bytes) for cut in advice.cuts]
    low, high = min(sizes), max(*sizes, min(sizes) + 1e-9)

    def at(cut: Cut) -> tuple[float, float]:
        across = (math.log(cut.secure_bytes) - low) / (high - low)
        return _LEFT + 30 + across * (_WIDTH - _LEFT - 90), _up(cut.share)

    marks = []
    to_the_right: list[tuple[float, float]] = []
    for cut in sorted(advice.cuts, key=lambda item: item.secure_bytes):
        x, y = at(cut)
        chosen = cut is advice.recommended
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{7 if chosen else 5}" fill="{"#0a7" if chosen else "#555"}"/>'
        )
        if any(abs(x - other) < 60 and abs(y - above) < 24 for other, above in to_the_right):
            marks.append(_text(x - 9, y + 4, cut.layers, "end"))
        else:
            to_the_right.append((x, y))
            marks.append(_text(x + 9, y + 4, cut.layers, "start"))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_line("answers alone", 0.0, "#0a7"),
        *_line("tolerance", advice.tolerance, "#aaa"),
        *_line("whole network", 1.0, "#c30"),
        *marks,
        _text(_WIDTH / 2, _HEIGHT - 15, f"secure memory, {_ends(advice)}; numbers: layers inside", "middle"),
        _text(_LEFT, 20, "what the worst counted attack gets", "start"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _up(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _line(name: str, share: float, colour: str) -> tuple[str, str]:
    y = _up(share)
    rule = f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="4 3"/>'
    return rule, _text(_LEFT + 200, y - 4, name, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _ends(advice: Advice) -> str:
    sizes = [cut.secure_bytes for cut in advice.cuts]
    return f"{bytes_text(min(sizes))} to {bytes_text(max(sizes))}"
