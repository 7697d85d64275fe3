"""The key that a maker signs with."""

from __future__ import annotations

import os
from pathlib import Path

from kakuri.cli.passphrases import passphrase_for
from kakuri.trust.signing import Signer


def maker_of(path: Path) -> tuple[Signer, Path]:
    """The maker's key, and the file with its public half, written when it is missing."""
    if os.path.lexists(path):
        signer = Signer.load(path, passphrase_for(path))
    else:
        signer = Signer.generate()
        signer.save(path)
    public = path.with_suffix(".pub")
    if not os.path.lexists(public):
        signer.public.save(public)
    return signer, public
