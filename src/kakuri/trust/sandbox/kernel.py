"""The kernel interfaces behind the sandbox, through the C library's ``syscall``.

Purpose: no_new_privs, seccomp, Landlock and namespaces, without a compiler and without a package.
Guarantees: a refusal by the kernel is an ``OSError`` with its errno.
Does not guarantee: any meaning; ``confine`` puts the calls in order.
Source: Linux, Documentation/userspace-api/landlock.rst and seccomp_filter.rst. The three Landlock calls and seccomp
have these numbers on every architecture of ``AUDIT_ARCH`` but for seccomp, which is looked up.
"""

from __future__ import annotations

import ctypes
import os
import struct

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _control(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def no_new_privileges() -> None:
    _control(_PR_SET_NO_NEW_PRIVS, 1)


def not_dumpable() -> None:
    """No core dump, and no other process of the same user may read this one's memory."""
    _control(_PR_SET_DUMPABLE, 0)


def unshare(flags: int) -> None:
    if _libc.unshare(ctypes.c_int(flags)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def seccomp(program: bytes) -> None:
    """Installs a filter (array of ``struct sock_filter``) for all threads of this process."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _call(_SECCOMP[os.uname().machine], ctypes.c_ulong(_SET_MODE_FILTER), ctypes.c_ulong(_ALL_THREADS), header)


def landlock_version() -> int:
    """The kernel's Landlock ABI, 0 where there is none."""
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def landlock_ruleset(files: int, network: int, scopes: int, version: int) -> int:
    """A descriptor of a rule set that governs these rights; fields that ``version`` does not know are left out."""
    fields = [files] + ([network] if version >= 4 else []) + ([scopes] if version >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    return _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))


def landlock_allow(ruleset: int, path: str | os.PathLike[str], rights: int) -> None:
    """Grants ``rights`` beneath ``path``."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, descriptor)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(descriptor)


def landlock_restrict(ruleset: int) -> None:
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
