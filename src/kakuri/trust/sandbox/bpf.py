"""The seccomp filter: rules in, classic BPF out.

Purpose: ``assemble(rules, machine)`` makes the program that the kernel runs before every system call.
Guarantees: a call of another architecture or of the x32 table ends the process; a call without a rule gets EPERM; 32
and 64-bit argument comparisons look at every bit that the kernel looks at.
Does not guarantee: anything behind a pointer; a filter cannot read memory, so paths are Landlock's business.
Source: Linux, Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/filter.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kakuri.trust.sandbox.syscalls import AUDIT_ARCH, numbers

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_X32_BIT = 0x40000000

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16


def refuse(number: int = errno.EPERM) -> int:
    """The action that lets a call fail with this errno."""
    return _ERRNO | number


@dataclass(frozen=True)
class Condition:
    """Argument ``index``, masked by ``mask``, is one of ``values``. ``wide``: the kernel reads all 64 bits of it."""

    index: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False


@dataclass(frozen=True)
class Rule:
    """What happens to one call: ``action`` when ``condition`` holds or there is none, else EPERM."""

    name: str
    action: int
    condition: Condition | None = None


def assemble(rules: Iterable[Rule], machine: str) -> bytes:
    """The program as an array of ``struct sock_filter``; calls that ``machine`` does not have are left out."""
    table = numbers(machine)
    program = [
        _step(_LOAD, _ARCH_AT),
        _step(_JUMP_EQUAL, AUDIT_ARCH[machine], 1, 0),
        _step(_RETURN, KILL_PROCESS),
        _step(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [_step(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _step(_RETURN, KILL_PROCESS)]
    for rule in rules:
        if rule.name in table:
            body = _body(rule)
            program += [_step(_JUMP_EQUAL, table[rule.name], 0, len(body)), *body]
    program.append(_step(_RETURN, refuse()))
    return b"".join(program)


def _body(rule: Rule) -> list[bytes]:
    if rule.condition is None:
        return [_step(_RETURN, rule.action)]
    condition = rule.condition
    at = _ARGUMENTS_AT + 8 * condition.index
    steps: list[bytes] = []
    if condition.wide:  # little-endian: the high half stands second
        steps += [_step(_LOAD, at + 4), _step(_JUMP_EQUAL, 0, 1, 0), _step(_RETURN, refuse())]
    steps += [_step(_LOAD, at), _step(_AND, condition.mask)]
    return steps + _among(condition.values, rule.action)


def _among(values: Sequence[int], action: int) -> list[bytes]:
    steps = []
    for value in values:
        steps += [_step(_JUMP_EQUAL, value & 0xFFFFFFFF, 0, 1), _step(_RETURN, action)]
    return [*steps, _step(_RETURN, refuse())]


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
