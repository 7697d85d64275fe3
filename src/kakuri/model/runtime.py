"""ONNX Runtime without its telemetry.

Purpose: the one place that imports onnxruntime. Its wheels for Linux carry a telemetry client (seen in 1.31); a toolkit
for private data does not send events about what it runs.
Guarantees: events are off before the first session is made.
Does not guarantee: what the library does while it is imported; confine the process where that matters
(``kakuri.trust.sandbox``).
"""

from __future__ import annotations

import onnxruntime

__all__ = ["onnxruntime"]

if hasattr(onnxruntime, "disable_telemetry_events"):
    onnxruntime.disable_telemetry_events()
