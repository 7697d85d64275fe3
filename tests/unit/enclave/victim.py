"""``victim.py FOLDER SIGNER``: loads the package of FOLDER, prints the worker's process id, and holds the session."""

from __future__ import annotations

import sys
from pathlib import Path

import kakuri as kk
from kakuri.enclave.backends.contract import Policy
from kakuri.trust.signing import SignerPublic

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    policy = Policy(SignerPublic(bytes.fromhex(sys.argv[2])), folder / "device.kkey")
    with kk.enclave.load(folder / "lenet.kkr", policy) as session:
        print(session.inner.process_id, flush=True)
        sys.stdin.read()
