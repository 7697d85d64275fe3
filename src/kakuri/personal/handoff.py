"""The hand-off package: what is in it, how it is written, how a device reads it.

Purpose: ``write_handoff`` on the server; ``Handoff.open`` on the device.
Guarantees: the signature is verified before anything else is read; every number and array that is read back is checked
against the others (KK-P13) before memory is taken for more than the file's own size; nothing is pickled.
Does not guarantee: that the model is any good; ``simulate`` and the floor are for that.

Entries: trunk.onnx; head.safetensors (weight, bias); samples.safetensors (see ``forms``); guard.safetensors (held-out
samples: see ``forms.guard_form``); signature.json. In an encrypted
package all but the last are sealed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from kakuri import package, strict_json
from kakuri.errors import KakuriError
from kakuri.personal import envelope, forms, signature
from kakuri.personal.dataset import MAX_CLASSES
from kakuri.personal.inputs.spec import InputSpec
from kakuri.personal.linear import Head
from kakuri.personal.moments import MAX_FEATURES
from kakuri.personal.recipe import MAX_VIEWS, Recipe
from kakuri.strict_json import Json

VERSION = 1
LIMITS = package.Limits(package_bytes=4 << 30, entry_bytes=2 << 30, entries=16)
_ENTRIES = ("guard.safetensors", "head.safetensors", "samples.safetensors", "trunk.onnx")
_SAMPLE_KEYS = {
    "augmented": {"samples", "labels"},
    "originals": {"samples", "labels"},
    "compressed": {"sheet", "labels", "views"},
    "features": {"values", "scale", "labels"},
    "statistics": {"values", "scale", "labels", "factor", "factor_scale", "rest"},
}
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Terms:
    """The part of a package that is not arrays. report: figures for people, as ``plan`` printed them."""

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    recipe: Recipe
    form: str
    features: int
    seed: int
    report: dict[str, Json]

    def to_content(self, wrapped_key: str) -> dict[str, Json]:
        fields = {
            "version": VERSION,
            "name": self.name,
            "classes": list(self.classes),
            "input": self.input.to_dict(),
            "recipe": self.recipe.to_dict(),
            "form": self.form,
            "features": self.features,
            "seed": self.seed,
            "report": self.report,
            "wrapped_key": wrapped_key,
        }
        return strict_json.plain_object(fields)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Terms:
        """Raises KK-P13, KK-P02 and KK-P03."""
        try:
            terms = cls(
                name=str(content["name"]),
                classes=tuple(content["classes"]),
                input=InputSpec.from_dict(content["input"]),
                recipe=Recipe(**content["recipe"]),
                form=content["form"],
                features=content["features"],
                seed=content["seed"],
                report=content["report"],
            )
            classes, unique = terms.classes, len(set(terms.classes)) == len(terms.classes)
            sound = (
                content["version"] == VERSION
                and isinstance(content["classes"], list)
                and all(isinstance(item, str) for item in classes)
                and set(content["recipe"]) == set(terms.recipe.to_dict())
                and unique
                and 1 <= len(classes) <= MAX_CLASSES
                and terms.form in forms.FORMS
                and type(terms.features) is type(terms.seed) is int
                and 1 <= terms.features <= 1 << 20
                and 0 <= terms.seed < 1 << 63
                and isinstance(terms.report, dict)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unusable("content", type(error).__name__) from None
        if not sound:
            raise _unusable("content", "values out of bounds")
        return terms


def write_handoff(
    path: Path | str,
    terms: Terms,
    entries: Mapping[str, bytes],
    publisher: signature.Publisher,
    *,
    recipient: bytes | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a signed package, encrypted when ``recipient`` (32 bytes of X25519) is given."""
    wrapped_key, made = "", dict(entries)
    if recipient is not None:
        made, wrapped_key = envelope.lock(entries, recipient)
    content = terms.to_content(wrapped_key)
    listed = [package.Entry(name, len(data), _sha256(data)) for name, data in sorted(made.items())]
    made[signature.ENTRY] = publisher.sign(content, listed)
    package.write(path, "personal", content, made, overwrite=overwrite, limits=LIMITS)


class Handoff:
    """An opened, verified package."""

    def __init__(self, opened: package.Package, content_key: bytes | None) -> None:
        self._package, self._key = opened, content_key
        self.terms = Terms.from_content(opened.content)

    @classmethod
    def open(cls, path: Path | str, publisher: bytes, device: Callable[[], X25519PrivateKey] | None = None) -> Handoff:
        """Verifies first. device: gives the device's key; called for an encrypted package only.

        Raises KK-F2x (structure), KK-P10 (signature), KK-P12 (encrypted for another), KK-P13 (contents).
        """
        opened = package.open_package(path, LIMITS)
        try:
            signature.verify(opened, publisher)
            missing = [name for name in _ENTRIES if name not in opened.names]
            if missing:
                raise _unusable("entries", f"{', '.join(missing)} missing")
            key = None
            wrapped = opened.content.get("wrapped_key")
            if wrapped:
                if device is None:
                    raise KakuriError("KK-P12", "the package is encrypted for a device", where=path)
                key = envelope.content_key(str(wrapped), device())
            return cls(opened, key)
        except KakuriError:
            opened.close()
            raise

    @classmethod
    def reopen(cls, path: Path | str, digest: str, content_key: bytes | None) -> Handoff:
        """For the confined child: the package that its parent verified, named by its digest. Raises KK-P10."""
        opened = package.open_package(path, LIMITS)
        if opened.digest != digest:
            opened.close()
            raise KakuriError("KK-P10", "the package changed after it was verified", where=path)
        return cls(opened, content_key)

    @property
    def digest(self) -> str:
        return self._package.digest

    @property
    def path(self) -> Path:
        return self._package.path

    @property
    def content_key(self) -> bytes | None:
        return self._key

    def close(self) -> None:
        self._package.close()

    def trunk_onnx(self) -> bytes:
        return self._entry("trunk.onnx")

    def head(self) -> Head:
        arrays = self._arrays("head.safetensors", {"weight", "bias"})
        weight, bias = arrays["weight"], arrays["bias"]
        shape = (len(self.terms.classes), self.terms.features)
        if weight.shape != shape or bias.shape != shape[:1] or weight.dtype != np.float32 or bias.dtype != np.float32:
            raise _unusable("head.safetensors", f"weight {weight.shape}, bias {bias.shape}", str(shape))
        return Head(weight, bias)

    def samples(self) -> dict[str, NDArray[Any]]:
        """The arrays that ``forms.training_features`` takes."""
        return self._sample_arrays("samples.safetensors", self.terms.form)

    def _sample_arrays(self, entry: str, form: str) -> dict[str, NDArray[Any]]:
        terms = self.terms
        arrays = self._arrays(entry, _SAMPLE_KEYS[form])
        count, d = arrays["labels"].size, terms.features
        rank = arrays["factor_scale"].size if form == "statistics" else 0
        shapes = {
            "labels": (count,),
            "samples": (count, *terms.input.shape),
            "sheet": (arrays["sheet"].size if form == "compressed" else 0,),
            "views": (1,),
            "values": (count, d),
            "scale": (d,),
            "factor": (d, rank),
            "factor_scale": (rank,),
            "rest": (d,),
        }
        dtypes = dict.fromkeys(("samples", "sheet"), "uint8") | dict.fromkeys(("labels", "views"), "int32")
        dtypes |= dict.fromkeys(("values", "factor"), "int8")
        if form == "statistics" and d > MAX_FEATURES:
            raise _unusable(f"{entry} rest", f"{d} features", f"{MAX_FEATURES}")
        for name, array in arrays.items():
            if array.shape != shapes[name] or array.dtype != np.dtype(dtypes.get(name, "float32")):
                raise _unusable(f"{entry} {name}", f"{array.dtype} {array.shape}", str(shapes[name]))
        self._check_labels(arrays["labels"])
        if form == "statistics" and not 1 <= len(np.unique(arrays["labels"])) == count:
            raise _unusable(f"{entry} labels", "a class twice, or none")
        if form == "compressed" and not (count and 1 <= arrays["views"][0] <= MAX_VIEWS):
            raise _unusable(f"{entry} views", f"{arrays['views'][0]} of {count} samples", f"1 ... {MAX_VIEWS} views")
        return forms.opened(arrays, terms.input.shape)

    def guard(self) -> dict[str, NDArray[Any]]:
        """Held-out samples, in the form ``forms.guard_form``."""
        return self._sample_arrays("guard.safetensors", forms.guard_form(self.terms.form))

    def _check_labels(self, labels: NDArray[Any]) -> None:
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.terms.classes)):
            raise _unusable("labels", f"{labels.min()} ... {labels.max()}", f"{len(self.terms.classes)} classes")

    def _entry(self, name: str) -> bytes:
        data = self._package.read(name)
        return data if self._key is None else envelope.unlock(name, data, self._key)

    def _arrays(self, name: str, keys: set[str]) -> dict[str, NDArray[Any]]:
        try:
            arrays: dict[str, NDArray[Any]] = load_tensors(self._entry(name))
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise _unusable(name, type(error).__name__) from None
        if set(arrays) != keys:
            raise _unusable(name, ", ".join(sorted(arrays))[:80], ", ".join(sorted(keys)))
        floats = [array for array in arrays.values() if np.issubdtype(array.dtype, np.floating)]
        if not all(np.isfinite(array).all() for array in floats):
            raise _unusable(name, "values that are not finite")
        return arrays


def tensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Safetensors bytes."""
    return bytes(save_tensors({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unusable(where: str, got: str, limit: str = "") -> KakuriError:
    return KakuriError("KK-P13", "the hand-off's contents do not fit together", where=where, got=got, limit=limit)
