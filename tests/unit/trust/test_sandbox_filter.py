"""The filter program, run by an interpreter of classic BPF in this file, does what the rules say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kakuri.trust.sandbox import bpf, filter
from kakuri.trust.sandbox.syscalls import AUDIT_ARCH, numbers

PID = 4242
EPERM = bpf.refuse(1)


def decide(program: bytes, number: int, arch: int, arguments: tuple[int, ...]) -> int:
    """The action for one call."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments)
    steps = list(struct.iter_unpack("=HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x06:
            return operand
        else:
            hit = accumulator == operand if code == 0x15 else accumulator >= operand
            at += if_true if hit else if_false


def expected(rule: bpf.Rule | None, arguments: tuple[int, ...]) -> int:
    if rule is None:
        return EPERM
    if rule.condition is None:
        return rule.action
    condition = rule.condition
    value = arguments[condition.index]
    if condition.wide and value >> 32:
        return EPERM
    return rule.action if (value & 0xFFFFFFFF & condition.mask) in condition.values else EPERM


word = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 4, PID, 0x5451, 0x10000, 0x3D0F00, 1 << 32]))


@pytest.mark.parametrize("machine", sorted(AUDIT_ARCH))
@settings(deadline=None)
@given(number=st.integers(0, 500), arguments=st.tuples(*[word] * 6))
def test_every_call_gets_what_its_rule_says(machine: str, number: int, arguments: tuple[int, ...]) -> None:
    rules = filter.rules(PID)
    names = {value: name for name, value in numbers(machine).items()}
    rule = next((rule for rule in rules if rule.name == names.get(number)), None)
    program = bpf.assemble(rules, machine)
    assert decide(program, number, AUDIT_ARCH[machine], arguments) == expected(rule, arguments)


@pytest.mark.parametrize("machine", sorted(AUDIT_ARCH))
@settings(deadline=None)
@given(number=st.integers(0, 2**32 - 1), arch=st.integers(0, 2**32 - 1))
def test_another_architecture_ends_the_process(machine: str, number: int, arch: int) -> None:
    action = decide(bpf.assemble(filter.rules(PID), machine), number, arch, (0,) * 6)
    assert arch == AUDIT_ARCH[machine] or action == bpf.KILL_PROCESS


def test_the_second_table_of_x86_64_ends_the_process() -> None:
    program = bpf.assemble(filter.rules(PID), "x86_64")
    assert decide(program, 0x40000000, AUDIT_ARCH["x86_64"], (0,) * 6) == bpf.KILL_PROCESS


def test_no_name_has_two_rules_and_every_name_is_in_a_table() -> None:
    names = [rule.name for rule in filter.rules(PID)]
    assert len(names) == len(set(names))
    assert set(names) <= set(numbers("x86_64")) | set(numbers("aarch64"))


@pytest.mark.parametrize("name", ["socket", "sendmsg", "io_uring_setup", "ptrace", "execve", "memfd_create", "flock"])
def test_no_program_list_means_no_exit(name: str) -> None:
    program = bpf.assemble(filter.rules(PID), "aarch64")
    number = numbers("aarch64").get(name, 32)
    assert decide(program, number, AUDIT_ARCH["aarch64"], (0,) * 6) != bpf.ALLOW
