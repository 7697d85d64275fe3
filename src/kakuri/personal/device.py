"""The device's own folder: keys, pinned publishers, encrypted artefacts, and forgetting.

Purpose: ``Device(home)`` is all that personalisation keeps between two commands.
Guarantees: every package has a key of its own in a file of mode 0600; nothing personal lies outside the folder or
unencrypted in it; ``forget`` overwrites and removes the key before the artefacts.
Does not guarantee: that flash memory or a journal keeps no copy of a small overwritten file; encrypt the disk too.
Errors: KK-P21 no publisher is known, KK-P22 another publisher than the one pinned.

Layout: device.kkey (address); publisher; packages/ID/key.kkey, model.sealed,
work/ (all that the confined child writes).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kakuri.errors import KakuriError
from kakuri.files import atomic_write, read_bounded
from kakuri.trust.entropy import SystemEntropy
from kakuri.trust.secret_file import read_secret, write_secret

_ADDRESS_KIND, _KEY_KIND = "personal-device", "personal-package"
_ID_DIGITS = 32


def default_home() -> Path:
    """``$KAKURI_HOME``, else ``~/.local/share/kakuri/personal``."""
    given = os.environ.get("KAKURI_HOME")
    return Path(given) if given else Path.home() / ".local" / "share" / "kakuri" / "personal"


class Place:
    """One package's folder on the device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.model = folder / "model.sealed"
        self._key = folder / "key.kkey"

    def prepare(self) -> bytes:
        """Makes folders and key where there are none; returns the key (32 bytes)."""
        self.work.mkdir(parents=True, exist_ok=True)
        os.chmod(self.folder, 0o700)
        if not self._key.exists():
            write_secret(self._key, _KEY_KIND, {"aes": SystemEntropy().draw(32)})
        return read_secret(self._key, _KEY_KIND).sections["aes"]

    def key(self) -> bytes:
        """Raises KK-F12 when there is none."""
        return read_secret(self._key, _KEY_KIND).sections["aes"]

    @property
    def personalised(self) -> bool:
        return self.model.exists()

    def forget(self) -> list[str]:
        """Destroys the key, then everything else; names of what was there."""
        found = sorted(str(item.relative_to(self.folder)) for item in self.folder.rglob("*") if item.is_file())
        _overwrite(self._key)
        shutil.rmtree(self.folder)
        return found


class Device:
    """home: a folder that belongs to this user alone; made at the first use."""

    def __init__(self, home: Path | str | None = None) -> None:
        self.home = Path(home) if home is not None else default_home()

    def place(self, digest: str) -> Place:
        """The folder for the package with this digest (hex)."""
        return Place(self.home / "packages" / digest[:_ID_DIGITS])

    def places(self) -> list[Place]:
        folder = self.home / "packages"
        return [Place(item) for item in sorted(folder.iterdir())] if folder.is_dir() else []

    def private_key(self) -> X25519PrivateKey:
        """Of the device's address; made at the first use."""
        path = self.home / "device.kkey"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            write_secret(path, _ADDRESS_KIND, {"x25519": X25519PrivateKey.generate().private_bytes_raw()})
        return X25519PrivateKey.from_private_bytes(read_secret(path, _ADDRESS_KIND).sections["x25519"])

    def address(self) -> bytes:
        """32 bytes for the server: packages can be encrypted for them."""
        return self.private_key().public_key().public_bytes_raw()

    def pin(self, publisher: bytes) -> None:
        """From now on ``publisher`` is this device's, unless another is. Raises KK-P22."""
        path = self.home / "publisher"
        if path.exists():
            known = self.publisher()
            if known != publisher:
                hint = f"if the publisher really changed, remove {path}"
                what = "the device knows another publisher"
                raise KakuriError("KK-P22", what, where=path, got=publisher.hex(), limit=known.hex(), hint=hint)
            return
        self.home.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(publisher.hex().encode())

    def publisher(self) -> bytes:
        """The pinned publisher's key. Raises KK-P21."""
        path = self.home / "publisher"
        text = read_bounded(path, limit_bytes=64).decode("ascii", "replace") if path.exists() else ""
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            hint = "give the server's publisher.pub, fetched over a channel that you trust"
            raise KakuriError("KK-P21", "the device knows no publisher yet", where=path, hint=hint)
        return key

    def forget(self) -> list[str]:
        """Destroys every key and every artefact; the pinned publisher stays. Names of what was there."""
        found = [f"{place.folder.name}/{name}" for place in self.places() for name in place.forget()]
        address = self.home / "device.kkey"
        if address.exists():
            _overwrite(address)
            address.unlink()
            found.append(address.name)
        return found


def _overwrite(path: Path) -> None:
    """Random bytes over a file, in place and flushed."""
    if not path.exists():
        return
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(SystemEntropy().draw(max(1, size)))
        file.flush()
        os.fsync(file.fileno())
