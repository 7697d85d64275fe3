"""Ways into another process's memory. As a program: ``intruder.py WAY PID ADDRESS`` prints how much could be read.

ADDRESS is tried where the list of the process's mappings is closed.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterator

_LIBC = ctypes.CDLL(None, use_errno=True)
_PIECE = 1 << 20


class _Span(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


def _spans(pid: int) -> Iterator[tuple[int, int]]:
    """Start and length of each readable mapping, or of the page that the caller knows of."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            lines = maps.read().splitlines()
    except OSError:
        yield int(sys.argv[3]), 4096
        return
    for line in lines:
        span, rights, *_ = line.split()
        first, last = (int(end, 16) for end in span.split("-"))
        if rights[0] == "r" and "vvar" not in line and "vsyscall" not in line:
            yield first, last - first


def readable_memory(pid: int) -> Iterator[bytes]:
    """Every readable page of a process, through /proc/PID/mem; unreadable ones are left out."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for first, size in _spans(pid):
            for at in range(first, first + size, _PIECE):
                try:
                    memory.seek(at)
                    yield memory.read(min(_PIECE, first + size - at))
                except (OSError, ValueError):
                    continue


def proc_mem(pid: int) -> int:
    try:
        return sum(map(len, readable_memory(pid)))
    except OSError:
        return 0


def vm_readv(pid: int) -> int:
    buffer = ctypes.create_string_buffer(4096)
    local = _Span(ctypes.addressof(buffer), 4096)
    total = 0
    for first, _ in _spans(pid):
        got = _LIBC.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(_Span(first, 4096)), 1, 0)
        total += max(0, got)
    return total


def ptrace(pid: int) -> int:
    """1 when the process can be seized: then everything in it can be read and changed."""
    return int(_LIBC.ptrace(0x4206, pid, 0, 0) == 0)


def descriptors(pid: int) -> int:
    """Open descriptors that can be looked at: the package, the key, the socket."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


WAYS = {"proc_mem": proc_mem, "vm_readv": vm_readv, "ptrace": ptrace, "descriptors": descriptors}

if __name__ == "__main__":
    from privileges import become_nobody

    become_nobody()
    print(json.dumps({"read": WAYS[sys.argv[1]](int(sys.argv[2]))}))
