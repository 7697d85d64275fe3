"""The refusal that names the missing extra.

Purpose: one wording for "offload needs torch", raised where torch is first imported.
Guarantees: nothing is imported here. Does not guarantee: that the installed version is a supported one.
"""

from __future__ import annotations

from kakuri.errors import KakuriError


def missing_torch() -> KakuriError:
    """KK-O01."""
    return KakuriError("KK-O01", "PyTorch is not installed", where="kakuri.offload", hint='pip install "kakuri[torch]"')
