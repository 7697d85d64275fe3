"""The oldest versions that a device still loads, remembered beside its key.

Purpose: where there is neither TPM nor RPMB somebody has to keep the minimum version; for the command line a file does.
Guarantees: a number never falls; a file that is damaged is refused, not taken for empty.
Does not guarantee: anything against whoever can write this file or delete it: they can go back to an older package that
    the maker signed.
Errors: KK-W22 the file is damaged, KK-F10 it cannot be written.
"""

from __future__ import annotations

from pathlib import Path

from kakuri import strict_json
from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.trust.signing import SignerPublic

_MAX_BYTES = 1 << 20


class MinimumVersions:
    """One file per device key: maker and network -> the minimum."""

    def __init__(self, device_key: Path) -> None:
        self._path = device_key.with_name(device_key.name + ".versions")

    def of(self, signer: SignerPublic, network: str) -> int:
        """1 for what was never loaded. Raises KK-W22."""
        return self._read().get(_name(signer, network), 1)

    def raise_to(self, signer: SignerPublic, network: str, minimum: int) -> None:
        """After a load: insist from now on what the package's maker insists on. Raises KK-W22, KK-F10."""
        known, name = self._read(), _name(signer, network)
        if minimum > known.get(name, 1):
            known[name] = minimum
            with atomic_write(self._path, overwrite=True) as file:
                file.write(strict_json.encode(strict_json.plain(known)))

    def _read(self) -> dict[str, int]:
        if not self._path.exists():
            return {}
        text = read_bounded(self._path, limit_bytes=_MAX_BYTES)
        found: dict[str, int] = {}
        for name, number in strict_json.decode(text, "KK-W22", str(self._path)).items():
            if type(number) is not int or not 1 <= number < 1 << 32:
                raise KakuriError("KK-W22", "the minimum versions are damaged", where=self._path, got=ascii(name)[:60])
            found[name] = number
        return found


def _name(signer: SignerPublic, network: str) -> str:
    return f"{signer.point.hex()} {network}"
