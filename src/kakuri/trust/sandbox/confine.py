"""Giving up rights: the calling process obeys a policy from here on, and cannot take it back.

Purpose: ``confine(policy)``, in the order that the kernel needs: limits, namespaces, Landlock, seccomp.
Guarantees: on return every protection that ``Confinement`` names is in force for all threads; without Landlock of the
policy's version or without seccomp nothing is run (KK-S02). The network namespace and the memory's hiding are taken
where the kernel grants them; seccomp alone already leaves no socket.
Does not guarantee: anything about descriptors that are open already: start processes with ``launch.start``, which
leaves none but those it is told to.
Errors: KK-S02 this machine cannot enforce the policy, KK-S03 a path of the policy cannot be opened.
"""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import asdict, dataclass

from kakuri.errors import KakuriError
from kakuri.trust.sandbox import bpf, filter, kernel
from kakuri.trust.sandbox.policy import Policy
from kakuri.trust.sandbox.syscalls import AUDIT_ARCH

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER, _REMOVE_FOLDER, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_FOLDER, _MAKE_FILE = 1 << 7, 1 << 8
_RENAME, _TRUNCATE = 1 << 13, 1 << 14
_READ = _READ_FILE | _READ_FOLDER
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_FILE_RIGHTS = (1 << 16) - 1  # from ABI 5 on: device ioctls
_BIND_AND_CONNECT = 3
_ABSTRACT_SOCKETS_AND_SIGNALS = 3


@dataclass(frozen=True)
class Confinement:
    """What is in force. landlock_version: the ABI used. network_namespace: an empty one. hidden: not dumpable."""

    landlock_version: int
    seccomp: bool
    network_namespace: bool
    hidden: bool

    def to_dict(self) -> dict[str, int | bool]:
        return asdict(self)

    def __str__(self) -> str:
        net = "empty network namespace" if self.network_namespace else "no network namespace (seccomp alone)"
        return f"Landlock ABI {self.landlock_version}, seccomp allow list, {net}"


def available() -> Confinement:
    """What this machine offers, found out without giving up anything (namespaces are tried in a child)."""
    return Confinement(kernel.landlock_version(), _has_seccomp(), _try_namespace(), hidden=True)


def confine(policy: Policy) -> Confinement:
    """Gives up every right that ``policy`` does not name; see the module's head."""
    version = kernel.landlock_version()
    if version < policy.landlock_version or not _has_seccomp():
        raise KakuriError(
            "KK-S02",
            "this machine cannot confine the process",
            got=f"Landlock ABI {version}, seccomp {'yes' if _has_seccomp() else 'no'} on {os.uname().machine}",
            limit=f"Landlock ABI {policy.landlock_version}, seccomp, x86_64 or aarch64",
            hint="Linux 6.2 or newer with landlock among the active security modules",
        )
    _set_limits(policy)
    isolated = _isolate()
    hidden = False
    with contextlib.suppress(OSError):
        kernel.not_dumpable()
        hidden = True
    kernel.no_new_privileges()
    _restrict_files(policy, version)
    program = bpf.assemble(filter.rules(os.getpid(), programs=bool(policy.programs)), os.uname().machine)
    kernel.seccomp(program)
    return Confinement(version, seccomp=True, network_namespace=isolated, hidden=hidden)


def _set_limits(policy: Policy) -> None:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: policy.file_bytes}
    limits[resource.RLIMIT_NOFILE] = policy.open_files
    if policy.memory_bytes is not None:
        limits[resource.RLIMIT_DATA] = policy.memory_bytes
    if policy.cpu_seconds is not None:
        limits[resource.RLIMIT_CPU] = policy.cpu_seconds
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At the soft limit of processor time comes SIGXCPU, which tells why; at the hard one SIGKILL.
        last = bound + 1 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else bound
        resource.setrlimit(kind, (bound, last))


def _isolate() -> bool:
    """An empty network namespace: directly, else with a user namespace; False where the kernel grants neither."""
    for flags in (
        kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC,
        kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC,
    ):
        with contextlib.suppress(OSError):
            kernel.unshare(flags)
            return True
    return False


def _restrict_files(policy: Policy, version: int) -> None:
    governed = _FILE_RIGHTS.get(version, _ALL_FILE_RIGHTS)
    ruleset = kernel.landlock_ruleset(governed, _BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS, version)
    write = _READ | _WRITE_FILE | _REMOVE_FILE | _REMOVE_FOLDER | _MAKE_FOLDER | _MAKE_FILE | _RENAME | _TRUNCATE
    granted = [(path, _READ) for path in policy.read]
    granted += [(path, _READ_FILE | _EXECUTE) for path in policy.programs]
    granted += [(policy.write, write)] if policy.write is not None else []
    try:
        for path, rights in granted:
            on_this = rights if os.path.isdir(path) else rights & _ON_FILES
            try:
                kernel.landlock_allow(ruleset, path, on_this & governed)
            except OSError as error:
                what = "a path of the policy cannot be opened"
                raise KakuriError("KK-S03", what, where=path, got=error.strerror) from error
        kernel.landlock_restrict(ruleset)
    finally:
        os.close(ruleset)


def _has_seccomp() -> bool:
    if os.uname().machine not in AUDIT_ARCH:
        return False
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return any(line.startswith("Seccomp:") for line in file)


def _try_namespace() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if _isolate() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
