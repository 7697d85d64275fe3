"""The refusal that names the missing extra.

Purpose: one wording for "this needs torch", raised where torch is first imported.
Guarantees: nothing is imported here. Does not guarantee: that the installed version is a supported one.
"""

from __future__ import annotations

from kakuri.errors import KakuriError


def missing_torch(where: str) -> KakuriError:
    """KK-Z01 for the module ``where``."""
    return KakuriError(
        "KK-Z01",
        "PyTorch is not installed",
        where=where,
        hint='pip install "kakuri[torch]"; shipped weights, samples and data loaders work without it',
    )
