"""``victim.py FOLDER SIGNER``: loads the package of FOLDER, prints the worker's process id, and holds the session."""

from __future__ import annotations

import sys
from pathlib import Path

from privileges import become_nobody

from kakuri.enclave.backends.contract import Policy
from kakuri.enclave.session import load
from kakuri.trust.signing import SignerPublic

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    policy = Policy(SignerPublic(bytes.fromhex(sys.argv[2])), folder / "device.kkey")
    become_nobody()
    with load(folder / "lenet.kkr", policy) as session:
        print(session.inner.process_id, flush=True)
        sys.stdin.read()
