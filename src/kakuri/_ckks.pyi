"""Public side of the CKKS kernel (native/ckks). No type in this module can hold a secret key.

Conventions
- Ring "standard": Z[X]/(X^N+1), N = 2**log_n, N/2 slots of real numbers (imaginary parts zero), primes 1 mod 2N.
  Ring "conjugate_invariant": Z[X + 1/X] inside Z[X]/(X^2N+1), that is a_0 + sum a_i (X^i + X^-i), 0 < i < N; N real
  slots, primes 1 mod 4N. Every operation costs nearly the same as in the standard ring of that N. Its security is
  looked up at dimension N; see native/ckks/README.md.
- Moduli q_0 ... q_L (primes below 2^50), special moduli p_0 ... p_{k-1} for hybrid key switching.
  A ciphertext at ``level`` l holds limbs q_0 ... q_l. ``rescale`` drops q_l.
- ``digits``: number of key-switching digits at the top level; alpha = ceil((L+1)/digits) limbs per digit.
- Scales are exact float64 ratios and are tracked, never rounded; adding operands whose scales differ by more than
  2^-20 relative is refused (KK-N06).
- Every function releases the GIL. All refusals are ``KakuriError`` with codes KK-N.. (kernel) or KK-F.. (parsing).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def ntt_primes(log_n: int, bits: Sequence[int], ring: str = "standard") -> list[int]:
    """Distinct primes, 1 mod 2N (mod 4N for "conjugate_invariant") and below 2^50, each the largest unused one below
    2**bits[i] or, where that is more than a thousandth away, the unused one nearest to it."""

def max_log_qp(log_n: int) -> float:
    """Largest log2(Q P) at 128-bit security: the stricter of the HE standard and eprint 2024/463 (Table 5.2)."""

def kernel_path() -> str:
    """'ifma', 'avx512', 'avx2' or 'scalar': what run-time dispatch chose."""

def available_kernel_paths() -> list[str]:
    """Fastest first; the last is 'scalar'."""

def set_kernel_path(path: str) -> None:
    """For tests: force a path (also 'ifma-emulated', slow). All paths give bit-identical results. Refused: KK-N13."""

class Parameters:
    """Checked, frozen. Refused (KK-N01..) unless moduli are valid and log2(Q P) is within ``max_log_qp``;
    ``allow_insecure=True`` skips only the security check, and ``security_bits`` is then 0."""

    def __init__(
        self,
        log_n: int,
        moduli: Sequence[int],
        special_moduli: Sequence[int],
        digits: int,
        *,
        ring: str = "standard",
        allow_insecure: bool = False,
    ) -> None: ...
    @property
    def log_n(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def ring(self) -> str: ...
    @property
    def slots(self) -> int:
        """N/2, or N in the conjugate-invariant ring."""
    @property
    def moduli(self) -> list[int]: ...
    @property
    def special_moduli(self) -> list[int]: ...
    @property
    def digits(self) -> int: ...
    @property
    def max_level(self) -> int: ...
    @property
    def log_qp(self) -> float: ...
    @property
    def security_bits(self) -> int:
        """128, or 0 for insecure test parameters."""
    @property
    def digest(self) -> bytes:
        """32 bytes naming these parameters; stands in the header of every serialised object."""
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(data: bytes | bytearray | memoryview, *, allow_insecure: bool = False) -> Parameters: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class Plaintext:
    """NTT form, limbs q_0 ... q_level."""

    @property
    def level(self) -> int: ...
    @property
    def scale(self) -> float: ...
    @property
    def nbytes(self) -> int: ...
    def residues(self) -> NDArray[np.uint64]:
        """(level + 1, N) in NTT form: position j holds the value at psi^(2 br(j) + 1), psi the smallest 2N-th root; in
        the conjugate-invariant ring at psi^(4 br(j) + 1), psi the smallest 4N-th root."""

def decode(plaintext: Plaintext) -> NDArray[np.float64]:
    """(slots,): the values that ``encode`` was given, up to its rounding."""

def transform(
    parameters: Parameters, prime: int, values: NDArray[np.uint64], *, inverse: bool = False
) -> NDArray[np.uint64]:
    """(N,) -> (N,): coefficients to NTT form modulo prime number ``prime`` (q_0 ... q_L, then special), or back. For
    tests and for interchange with other libraries."""

def encode(parameters: Parameters, values: NDArray[np.float64], scale: float, level: int) -> Plaintext:
    """values: (<= slots,) real, padded with zeros. Refuses non-finite values and |coefficient| * scale >= q/2."""

class Ciphertext:
    @property
    def parameters(self) -> Parameters: ...
    @property
    def level(self) -> int: ...
    @property
    def scale(self) -> float: ...
    @property
    def size(self) -> int:
        """2, or 3 before relinearisation."""
    @property
    def nbytes(self) -> int:
        """Length of ``to_bytes()``."""
    def to_bytes(self) -> bytes:
        """Little-endian, fixed header (magic, version, parameter digest, level, size, scale, payload length),
        limbs bit-packed to the bits of their prime, CRC-free: authenticity is the transport's job.
        A fresh symmetric encryption stores a 32-byte seed in place of its second polynomial."""
    @property
    def memory_bytes(self) -> int: ...
    @staticmethod
    def from_bytes(parameters: Parameters, data: bytes | bytearray | memoryview) -> Ciphertext:
        """Validates everything before allocating; residues must be below their prime. Refused: KK-F41 .. KK-F46."""
    def residues(self) -> NDArray[np.uint64]:
        """(size, level + 1, N) in NTT form, as in ``Plaintext.residues``."""
    @staticmethod
    def from_residues(parameters: Parameters, residues: NDArray[np.uint64], scale: float) -> Ciphertext:
        """From such an array; for tests and for interchange with other libraries."""

class Diagonals:
    """The plaintext side of a linear transform, encoded once; see ``Evaluator.linear_transform``.

    Vectors stand modulo q_0 ... q_level and the special primes: len * (level + 1 + special primes) * slots * 8 bytes.
    (In the standard ring half of the residues: real slots give every value twice.)"""

    @property
    def parameters(self) -> Parameters: ...
    @property
    def level(self) -> int: ...
    @property
    def scale(self) -> float: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def steps(self) -> set[int]:
        """Giant and baby steps other than 0, normalised: the rotation keys a transform needs, at its level."""
    def __len__(self) -> int: ...
    def save(self, path: str) -> None:
        """Replaces the file at ``path``. Refused: KK-F48."""
    @staticmethod
    def open(parameters: Parameters, path: str) -> Diagonals:
        """Maps such a file into memory and reads it in place, after checking its length, hash and every residue. The
        file must not change while it is open. Refused: KK-F41 .. KK-F49."""

def encode_diagonals(
    parameters: Parameters,
    level: int,
    scale: float,
    entries: Sequence[tuple[int, int, int, int, NDArray[np.float64]]],
    *,
    inputs: int,
    outputs: int,
    threads: int = 1,
) -> Diagonals:
    """entries: (output o, giant step g, input i, baby step b, values (<= slots,)), each (o, g, i, b) once, steps modulo
    the slots. Values multiply rotate(x_i, b) before the rotation by g. Every output needs a diagonal that does not
    round to zero. Refused: KK-N05, KK-N07, KK-N11, KK-N12; problems of several entries are reported together."""

class PublicKey:
    @property
    def parameters(self) -> Parameters: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(parameters: Parameters, data: bytes | bytearray | memoryview) -> PublicKey: ...

def encrypt(public_key: PublicKey, plaintext: Plaintext) -> Ciphertext:
    """Public-key encryption; randomness from the operating system."""

class EvaluationKeys:
    """Relinearisation and rotation keys, each usable up to the level it was made for."""

    @property
    def parameters(self) -> Parameters: ...
    @property
    def rotations(self) -> dict[int, int]:
        """step -> highest level at which the key works. Steps are normalised to 1 ... slots - 1 (-1 is slots - 1)."""
    @property
    def relinearization_level(self) -> int | None: ...
    @property
    def nbytes(self) -> int:
        """Length of ``to_bytes()`` (seeded: half of what is held in memory)."""
    @property
    def memory_bytes(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(parameters: Parameters, data: bytes | bytearray | memoryview) -> EvaluationKeys: ...

class Evaluator:
    """Homomorphic operations. ``threads`` cores are used inside each call. Steps rotate left: slot i of the result is
    slot i+step (mod slots) of the input; step 0 copies and counts as an identity rotation."""

    def __init__(self, parameters: Parameters, keys: EvaluationKeys | None = None, threads: int = 1) -> None: ...
    @property
    def counters(self) -> dict[str, int]:
        """Incremented where an instruction executes: hadd, hadd_plain, hmulplain, hmul, hsquare, mask_multiply,
        rotation, rotation_identity, relinearize, rescale, keyswitch_modup, keyswitch_moddown."""
    def reset_counters(self) -> None: ...
    @property
    def threads(self) -> int: ...
    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext: ...
    def sub(self, a: Ciphertext, b: Ciphertext) -> Ciphertext: ...
    def negate(self, a: Ciphertext) -> Ciphertext: ...
    def add_many(self, items: Sequence[Ciphertext]) -> Ciphertext: ...
    def add_plain(self, a: Ciphertext, p: Plaintext) -> Ciphertext: ...
    def add_scalar(self, a: Ciphertext, value: float) -> Ciphertext:
        """Adds ``value`` to every slot."""
    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Size 3; levels must be equal. Counts one hmul."""
    def square(self, a: Ciphertext) -> Ciphertext:
        """Size 3. Counts one hsquare."""
    def relinearize(self, a: Ciphertext, rescale: int = 0) -> Ciphertext:
        """``rescale`` primes (at most 2) are divided away in the same step, as by that many calls of ``rescale``."""
    def rescale(self, a: Ciphertext) -> Ciphertext: ...
    def drop_to_level(self, a: Ciphertext, level: int) -> Ciphertext:
        """Drops limbs without dividing; scale unchanged."""
    def set_scale(self, a: Ciphertext, scale: float) -> Ciphertext:
        """Reinterprets the scale (multiplies the message by old/new)."""
    def multiply_plain(self, a: Ciphertext, p: Plaintext) -> Ciphertext: ...
    def multiply_scalar(self, a: Ciphertext, value: float, scale: float) -> Ciphertext:
        """Multiplies by round(value * scale), one integer for all slots: no encoding error beyond that rounding."""
    def dot_plain(self, items: Sequence[Ciphertext], plaintexts: Sequence[Plaintext]) -> Ciphertext:
        """sum_i items[i] * plaintexts[i] with lazy 128-bit accumulation. Counts one hmulplain per term."""
    def linear_combination(
        self,
        items: Sequence[Ciphertext],
        weights: NDArray[np.float64],
        weight_scale: float,
        mask: Plaintext | None = None,
    ) -> list[Ciphertext]:
        """weights: (outputs, inputs). out[o] = mask * sum_i round(weights[o,i] * weight_scale) items[i].

        One hmulplain per (o, i) term whose weight is not exactly 0.0 (such a term is skipped); with a mask one
        mask_multiply per output. All items share size 2, level and scale. |round(w * weight_scale)| < 2^49.
        Output scale: item scale * weight_scale * mask scale. Refused when a whole row rounds to zero
        (a transparent ciphertext)."""
    def rotate(self, a: Ciphertext, step: int) -> Ciphertext: ...
    def rotate_hoisted(self, a: Ciphertext, steps: Sequence[int]) -> list[Ciphertext]:
        """All rotations of one ciphertext with one decomposition (ModUp); the same results as ``rotate``."""
    def rotate_sum(self, a: Ciphertext, steps: Sequence[int]) -> Ciphertext:
        """a + sum over the chain: for s in steps: a = a + rotate(a, s).

        Hoisted twice: one ModUp per step; two neighbouring steps s, t share one where the keys hold the rotation
        by s + t too. Counts one rotation per step.
        """
    def linear_transform(self, items: Sequence[Ciphertext], diagonals: Diagonals, rescale: int = 0) -> list[Ciphertext]:
        """out[o] = sum over g of rotate(sum over i, b of d[o,g,i,b] * rotate(items[i], b), g), hoisted twice.

        One ModUp per rotated input; baby steps and sums stay in the extended basis; a giant step other than 0 costs one
        ModDown of one polynomial and one key switch; the last ModDown divides by ``rescale`` primes (at most 2) too.
        All items share size 2, level and scale; diagonals are encoded at that level or above. Counts one hmulplain per
        entry, one rotation per distinct (i, b) with b != 0 and per (o, g) with g != 0."""
