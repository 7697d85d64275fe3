"""Secret side of the CKKS kernel: the only module with a type that holds a secret key. Servers may not import it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kakuri._ckks import Ciphertext, EvaluationKeys, Parameters, Plaintext, PublicKey

class SecretKey:
    """Uniform ternary secret. Wiped when freed. Does not print, pickle or compare its contents."""

    @staticmethod
    def generate(parameters: Parameters) -> SecretKey: ...
    @property
    def parameters(self) -> Parameters: ...
    def to_bytes(self) -> bytes:
        """Header and 2 bits per coefficient. The caller protects the bytes."""
    @staticmethod
    def from_bytes(parameters: Parameters, data: bytes | bytearray | memoryview) -> SecretKey: ...
    def public_key(self) -> PublicKey: ...
    def evaluation_keys(self, rotations: Mapping[int, int], relinearization_level: int | None = None) -> EvaluationKeys:
        """rotations: step -> highest level needed; only limbs and digits up to that level are made. Steps wrap around
        (-1 is slots - 1); step 0 needs no key and is passed over. Refused without special moduli: KK-N03."""
    def encrypt(self, plaintext: Plaintext) -> Ciphertext:
        """Symmetric, seeded: half the bytes of a public-key encryption."""
    def decrypt(
        self, ciphertext: Ciphertext, *, precision_bits: float, flooding_bits: float | None = None
    ) -> NDArray[np.float64]:
        """(slots,) real values, rounded to multiples of 2**-precision_bits before anyone sees them (IND-CPA-D).

        flooding_bits: adds Gaussian noise of standard deviation 2**flooding_bits to the coefficients of the decrypted
        polynomial first (at the ciphertext's scale). Accepts size 2 and 3."""
