"""What the parent asks of the confined process, as one message."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from kakuri import strict_json
from kakuri.errors import KakuriError

METHODS = ("analytic", "head", "last-layers", "full", "lora")


@dataclass(frozen=True)
class Job:
    """package, digest: the verified package. content_key: of an encrypted one. key: for artefacts in ``folder``.

    photos: (path, label) pairs; with ``array_descriptor`` the paths are empty and the samples come from there.
    classes: old and new together. epochs: fixed by the parent before training begins.
    """

    package: str
    digest: str
    folder: str
    photos: tuple[tuple[str, int], ...]
    classes: int
    method: str
    epochs: int
    target_false_personal: float
    seed: int
    key: bytes
    content_key: bytes | None = None
    array_descriptor: int | None = None

    def to_json(self) -> bytes:
        fields = asdict(self)
        fields["key"] = self.key.hex()
        fields["content_key"] = None if self.content_key is None else self.content_key.hex()
        return strict_json.encode(strict_json.plain(fields))

    @classmethod
    def from_json(cls, data: bytes) -> Job:
        """Raises KK-P33."""
        fields = strict_json.decode(data, "KK-P33", "job")
        try:
            content_key = fields["content_key"]
            listed: Any = fields["photos"]
            photos = tuple((str(path), int(label)) for path, label in listed)
            return cls(
                **{  # type: ignore[arg-type]
                    **fields,
                    "photos": photos,
                    "key": bytes.fromhex(str(fields["key"])),
                    "content_key": None if content_key is None else bytes.fromhex(str(content_key)),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise KakuriError("KK-P33", "not a job", got=type(error).__name__) from None

    def identity(self, photos_digest: str) -> str:
        """Names everything that decides the result."""
        decisive = {
            "package": self.digest,
            "photos": photos_digest,
            "classes": self.classes,
            "method": self.method,
            "epochs": self.epochs,
            "target": self.target_false_personal,
            "seed": self.seed,
        }
        return hashlib.sha256(strict_json.encode(strict_json.plain(decisive))).hexdigest()
