"""The version, where every room can read it without importing the front door."""

from __future__ import annotations

__version__ = "0.1.0"
