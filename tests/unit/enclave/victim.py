"""``victim.py FOLDER SIGNER [no-memfd-secret] [no-locking] [swappable]``: one session of an unprivileged user.

Loads the package of FOLDER, prints the worker's process id and its guarantee, and holds the session. A refusal is
printed with its code instead.
"""

from __future__ import annotations

import ctypes
import json
import resource
import struct
import sys
from pathlib import Path

from privileges import become_nobody

from kakuri.enclave.backends.contract import Policy
from kakuri.enclave.session import load
from kakuri.errors import KakuriError
from kakuri.trust.signing import SignerPublic

_MEMFD_SECRET, _ENOSYS = 447, 38
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def without_memfd_secret() -> None:
    """As on a kernel that has no such call: this process and its children get ENOSYS."""
    load_number, jump_unless, give = 0x20, 0x15, 0x06
    steps = (
        (load_number, 0, 0, 0),
        (jump_unless, 0, 1, _MEMFD_SECRET),
        (give, 0, 0, 0x00050000 | _ENOSYS),
        (give, 0, 0, 0x7FFF0000),
    )
    program = _Program(len(steps), b"".join(struct.pack("<HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    folder, wishes = Path(sys.argv[1]), set(sys.argv[3:])
    signer = SignerPublic(bytes.fromhex(sys.argv[2]))
    policy = Policy(signer, folder / "device.kkey", allow_swappable_memory="swappable" in wishes)
    become_nobody()
    if "no-memfd-secret" in wishes:
        without_memfd_secret()
    if "no-locking" in wishes:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
    try:
        with load(folder / "lenet.kkr", policy) as session:
            guarantee = session.guarantee.to_dict()
            print(json.dumps({"worker": session.inner.process_id, **guarantee}), flush=True)
            sys.stdin.read()
    except KakuriError as error:
        print(json.dumps({"code": error.code, "what": error.problem.what}), flush=True)
