"""The processors that C is emitted for.

Purpose: per instruction set, the vector length, the register tiles, and what its source file needs.
Guarantees: a target's last instruction set is one that each of its processors has; faster ones are chosen at run time.
Does not guarantee: speed on ``plain``; it is for processors that no other target knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kakuri.errors import KakuriError


@dataclass(frozen=True)
class Isa:
    """lanes: floats of a vector. pixels, wide_pixels: rows of a register tile of two, and of four vectors.

    dot_pixels, dot_wide_pixels: the same for products of bytes. test: C expression that says at run time whether
    the processor has it; empty when it always has.
    """

    name: str
    macro: str
    lanes: int
    pixels: int
    wide_pixels: int
    dot_pixels: int
    dot_wide_pixels: int
    flags: tuple[str, ...] = ()
    test: str = ""


AVX512 = Isa(
    "avx512",
    "KK_AVX512",
    16,
    14,
    7,
    10,
    5,
    ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"),
    '__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") '
    '&& __builtin_cpu_supports("avx512vl")',
)
AVX512_VNNI = replace(
    AVX512,
    name="avx512vnni",
    dot_pixels=14,
    dot_wide_pixels=6,
    flags=(*AVX512.flags, "-mavx512vnni"),
    test=f'{AVX512.test} && __builtin_cpu_supports("avx512vnni")',
)
AVX2 = Isa(
    "avx2",
    "KK_AVX2",
    8,
    6,
    3,
    4,
    2,
    ("-mavx2", "-mfma"),
    '__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")',
)
SSE = Isa("sse2", "KK_SSE", 4, 4, 2, 4, 2)
NEON = Isa("neon", "KK_NEON", 4, 8, 4, 8, 4)
NEON_DOT = replace(NEON, name="neondot", flags=("-march=armv8.2-a+dotprod",))
PLAIN = Isa("plain", "KK_PLAIN", 4, 4, 2, 4, 2)


@dataclass(frozen=True)
class Target:
    """isas: fastest first; the last one is taken without a test. compiler: the default of the emitted build.

    dot_isas: instead of ``isas`` for networks of 8-bit numbers.
    """

    name: str
    isas: tuple[Isa, ...]
    compiler: str
    emulator: str = ""
    dot_isas: tuple[Isa, ...] = ()

    def for_dots(self) -> Target:
        """This target with the instruction sets that suit products of 8-bit numbers."""
        return replace(self, isas=self.dot_isas) if self.dot_isas else self


TARGETS = {
    target.name: target
    for target in (
        Target("x86-64", (AVX512, AVX2, SSE), "cc", dot_isas=(AVX512_VNNI, AVX2, SSE)),
        Target("x86-64-avx512vnni", (AVX512_VNNI,), "cc"),
        Target("x86-64-avx512", (AVX512,), "cc"),
        Target("x86-64-avx2", (AVX2,), "cc"),
        Target("x86-64-sse2", (SSE,), "cc"),
        Target("arm64", (NEON,), "aarch64-linux-gnu-gcc", "qemu-aarch64"),
        Target("arm64-dotprod", (NEON_DOT,), "aarch64-linux-gnu-gcc", "qemu-aarch64"),
        Target("plain", (PLAIN,), "cc"),
    )
}


def target_named(name: str) -> Target:
    """Raises KK-G02 for an unknown target."""
    if name not in TARGETS:
        raise KakuriError("KK-G02", "unknown target", got=repr(name), limit=", ".join(TARGETS))
    return TARGETS[name]
