"""Grouped bars as SVG: enough for two figures, and nothing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 400, 80, 50, 50
_LETTER = 7  # its width
_COLOURS = ("#1b6ca8", "#3f9b6d", "#8cbf3f", "#e0a030", "#888888")


def grouped_bars(title: str, unit: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """groups: label across -> name of the bar -> height, the same names in each. Long labels are written aslant."""
    names = list(next(iter(groups.values())))
    step = _round_step(max(max(bars.values()) for bars in groups.values()) / 4)
    top = 4 * step
    group_width = (_WIDTH - _LEFT - 20) / len(groups)
    bar_width = 0.8 * group_width / len(names)
    longest = max(map(len, groups))
    aslant = longest * _LETTER > group_width
    parts = [_text(_LEFT, 22, f"{title} [{unit}]", "start")]
    for number, name in enumerate(names):
        x = _LEFT + number * 120
        parts += [_box(x, 30, 10, 10, _COLOURS[number]), _text(x + 14, 39, name, "start")]
    for number in range(5):
        y = _height(number * step, top)
        parts += [_rule(y), _text(_LEFT - 6, y + 4, f"{number * step:.3g}", "end")]
    for place, (label, bars) in enumerate(groups.items()):
        left = _LEFT + place * group_width + 0.1 * group_width
        for number, name in enumerate(names):
            y = _height(bars[name], top)
            parts.append(_box(left + number * bar_width, y, 0.92 * bar_width, _HEIGHT - _BOTTOM - y, _COLOURS[number]))
        middle = left + 0.4 * group_width
        parts.append(_aslant(middle, label) if aslant else _text(middle, _HEIGHT - 25, label, "middle"))
    return _whole(parts, longest * _LETTER / 2 if aslant else 0)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= least * 0.9999)


def _height(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (value / top if top > 0 else 0.0) * (_HEIGHT - _BOTTOM - _TOP)


def _whole(parts: Sequence[str], below: float) -> str:
    """below: more height, for labels."""
    size = f"{_WIDTH} {_HEIGHT + below:.0f}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif"'
    white = f'<rect width="{_WIDTH}" height="{_HEIGHT + below:.0f}" fill="white"/>'
    return "\n".join([f'{head} font-size="12">', white, *parts, "</svg>", ""])


def _rule(y: float) -> str:
    return f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _aslant(x: float, text: str) -> str:
    """Ends below the middle of its group."""
    y = _HEIGHT - _BOTTOM + 14
    return f'<text transform="translate({x:.1f} {y}) rotate(-30)" text-anchor="end">{escape(text)}</text>'
