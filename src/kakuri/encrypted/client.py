"""The side that holds the secret key.

Purpose: encrypts inputs, decrypts answers.
Guarantees: decrypted values are rounded to the precision the noise supports before anyone sees them, which is what
stands between an honest user who publishes answers and IND-CPA-D key recovery (Li, Micciancio, eprint 2020/1533).
Does not guarantee: that the answer is right; the server may answer wrongly. Nor that rounding alone is a proof: set
``flooding_bits`` where answers are published to the adversary systematically (SECURITY.md).
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kakuri import _ckks, _ckks_secret
from kakuri.encrypted.deployment import Deployment
from kakuri.encrypted.messages import Answer, Query, expect
from kakuri.errors import KakuriError, KakuriWarning
from kakuri.trust.secret_file import read_secret, write_secret

KIND = "encrypted-client"


class Client:
    """Holds the secret key. Create with ``plan.build()`` or ``Client.load``."""

    def __init__(self, deployment: Deployment, secret: _ckks_secret.SecretKey) -> None:
        self.deployment = deployment
        self._secret = secret

    def __repr__(self) -> str:
        return f"Client({self.deployment.name!r}, secret key not shown)"

    def encrypt(self, x: ArrayLike) -> Query:
        """x: (*input_shape) or (b, *input_shape), b up to the deployment's capacity; real values.

        Warns (KakuriWarning) when values lie outside the calibrated input range. Raises KK-E40 for another shape,
        KK-E41 for values that are not finite.
        """
        samples = self._samples(x)
        layout, parameters = self.deployment.input, self.deployment.parameters
        packed = layout.pack(samples, parameters.slots)
        ciphertexts = []
        for row in packed:
            plain = _ckks.encode(parameters, row, self.deployment.scale, parameters.max_level)
            ciphertexts.append(self._secret.encrypt(plain).to_bytes())
        return Query(len(samples), self.deployment.digest, tuple(ciphertexts))

    def _samples(self, x: ArrayLike) -> NDArray[np.float64]:
        samples = np.asarray(x, dtype=np.float64)
        shape = self.deployment.input.shape
        if samples.shape == shape:
            samples = samples[None]
        if samples.shape[1:] != shape or not 1 <= len(samples) <= self.deployment.capacity:
            raise KakuriError(
                "KK-E40",
                "the input has the wrong shape",
                where=self.deployment.name,
                got=tuple(np.shape(x)),
                limit=f"{shape} or (1..{self.deployment.capacity}, {', '.join(map(str, shape))})",
                hint="batch packing takes many samples a query, the others one",
            )
        if not np.isfinite(samples).all():
            raise KakuriError("KK-E41", "the input has values that are not finite", where=self.deployment.name)
        low, high = self.deployment.input_range
        slack = 1e-6 * max(1.0, high - low)
        if samples.min() < low - slack or samples.max() > high + slack:
            warnings.warn(
                f"{self.deployment.name}: input values in [{samples.min():.4g}, {samples.max():.4g}] leave the "
                f"calibrated range [{low:.4g}, {high:.4g}]; activations may leave theirs and the answer may be wrong",
                KakuriWarning,
                stacklevel=3,
            )
        return samples

    def decrypt(self, answer: Answer, *, flooding_bits: float | None = None) -> NDArray[np.float64]:
        """(b, *output_shape) float64, rounded to multiples of 2**-precision_bits.

        flooding_bits: log2 of the standard deviation of Gaussian noise added to the coefficients before rounding.
        Raises KK-F4x for a message of another deployment or a damaged one.
        """
        layout, parameters = self.deployment.output, self.deployment.parameters
        expect(answer, self.deployment.digest, layout.ciphertexts, self.deployment.capacity)
        packed = np.empty((layout.ciphertexts, parameters.slots))
        for i, data in enumerate(answer.ciphertexts):
            ciphertext = _ckks.Ciphertext.from_bytes(parameters, data)
            packed[i] = self._secret.decrypt(
                ciphertext, precision_bits=self.deployment.precision_bits, flooding_bits=flooding_bits
            )
        values = layout.unpack(packed, answer.samples)
        if np.abs(values).max() > self.deployment.output_bound:
            warnings.warn(
                f"{self.deployment.name}: the answer reaches {np.abs(values).max():.4g}, calibrated for at most "
                f"{self.deployment.output_bound:.4g}; the input may be unlike the calibration set",
                KakuriWarning,
                stacklevel=2,
            )
        return values

    def save(self, path: str | os.PathLike[str], passphrase: str | None = None, *, overwrite: bool = False) -> None:
        """Writes the key file, mode 0600; nothing is left behind when it fails."""
        sections = {"deployment": self.deployment.to_json().encode(), "secret_key": self._secret.to_bytes()}
        public = {"name": self.deployment.name, "key_id": self.deployment.key_id}
        write_secret(Path(path), KIND, sections, public=public, passphrase=passphrase, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | None = None) -> Client:
        """Raises KK-K2x for a file that is no client key, readable by others, or damaged."""
        sections = read_secret(Path(path), KIND, passphrase=passphrase).sections
        deployment = Deployment.from_json(sections["deployment"])
        return cls(deployment, _ckks_secret.SecretKey.from_bytes(deployment.parameters, sections["secret_key"]))
