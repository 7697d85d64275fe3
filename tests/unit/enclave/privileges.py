"""Giving up root for good: the interpreter itself may lie where other users cannot start it."""

from __future__ import annotations

import ctypes
import os

NOBODY = 65534
_PR_SET_DUMPABLE = 4


def become_nobody() -> None:
    """From root to an unprivileged user, and as open to that user's other programs as any program is."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
