"""Numbers as C source, exactly."""

from __future__ import annotations

import math


def float_literal(value: float) -> str:
    """A C expression of type float with this value, which a float32 can hold."""
    if math.isnan(value):
        return '__builtin_nanf("")'
    if math.isinf(value):
        return "__builtin_inff()" if value > 0 else "-__builtin_inff()"
    return f"{value.hex()}f"


def struct_literal(fields: dict[str, int | float]) -> str:
    """A designated initializer."""
    parts = [
        f".{name} = {float_literal(value) if isinstance(value, float) else value}" for name, value in fields.items()
    ]
    return "{" + ", ".join(parts) + "}"
