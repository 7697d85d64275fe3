"""Layer sizes and operators from the machine code.

Purpose: what a disassembler shows where no table is: constants that are written together, loops of multiply-adds.
Method: linear sweep with capstone over the text section. Constants that instructions close to each other move,
vectors of constants that they load, and bounds that they compare with are pooled per neighbourhood; pairs of them are
claimed as (inputs, outputs).
Needs: the ``capstone`` package; without it the attack says so and does not apply.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from kakuri.attacks.extraction.artefact import Artefact, Detail, Extraction, Truth
from kakuri.attacks.extraction.elf import Section, sections
from kakuri.attacks.extraction.size_tables import scored_sizes

_NEAR = 24  # instructions
_LEAST, _MOST, _CROWDED = 2, 1 << 17, 16
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
_LOADED = re.compile(r"(dword|qword|[xyz]mmword) ptr \[rip ([+-]) (0x[0-9a-f]+)\]")
_PRODUCTS = ("vfmadd", "vpdpbusd", "mulps", "vpmaddwd", "pmaddwd")


class Disassembly(Extraction):
    name = "disassembly"
    recovers = "inputs and outputs of the layers"
    weights = False

    def why_not(self, artefact: Artefact) -> str:
        return "" if importlib.util.find_spec("capstone") else "capstone is not installed: pip install kakuri[audit]"

    def claim(self, artefact: Artefact, random: np.random.Generator) -> dict[str, Any]:
        pairs: set[tuple[int, int]] = set()
        products = 0
        for data in artefact.files.values():
            for near, multiplies in _sweep(data):
                products += multiplies
                sizes = {value for value in near if _LEAST <= value < _MOST}
                pairs |= {(k, n) for k in sizes for n in sizes} if len(sizes) <= _CROWDED else set()
        return {"pairs": pairs, "products": products}

    def score(self, claim: dict[str, Any], truth: Truth) -> tuple[float, dict[str, Detail]]:
        recall, details = scored_sizes(claim["pairs"], truth)
        return recall, details | {"multiply_add_instructions": claim["products"]}

    def planted(self, random: np.random.Generator) -> tuple[Artefact, Truth]:
        layers = [(int(random.integers(300, 2000)), int(random.integers(2, 300))) for _ in range(8)]
        code = b"".join(
            b"\xc7\x44\x24\x08" + struct.pack("<i", k) + b"\xc7\x44\x24\x0c" + struct.pack("<i", n) + b"\x90" * 30
            for k, n in layers
        )
        return Artefact("planted code", {"app": elf_of(code)}), Truth(np.zeros(0, "<u4"), layers=tuple(layers))


def elf_of(code: bytes) -> bytes:
    """A file with nothing but a text section."""
    names = b"\0.text\0.names\0"
    body = 64 + len(code) + len(names)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 0, body, 0, 64, 56, 0, 64, 3, 2)
    rows = [struct.pack("<IIQQQQIIQQ", *row) for row in (
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 6, 64, 64, len(code), 0, 0, 1, 0),
        (7, 3, 0, 0, 64 + len(code), len(names), 0, 0, 1, 0),
    )]  # fmt: skip
    return head + code + names + b"".join(rows)


def _sweep(data: bytes) -> Iterator[tuple[frozenset[int], bool]]:
    """Per instruction that holds or loads constants: those of its neighbourhood; and whether it multiplies and adds."""
    import capstone  # noqa: PLC0415  an extra

    parts = sections(data)
    if ".text" not in parts:
        return
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.skipdata = True
    near: deque[tuple[int, tuple[int, ...]]] = deque()
    code = parts[".text"]
    for index, (address, size, name, operands) in enumerate(engine.disasm_lite(code.content, code.address)):
        values = _constants(parts, address + size, name, operands)
        if values:
            near.append((index, values))
            while near[0][0] < index - _NEAR:
                near.popleft()
            yield frozenset(value for _, group in near for value in group), False
        elif name.startswith(_PRODUCTS):
            yield frozenset(), True


def _constants(parts: dict[str, Section], after: int, name: str, operands: str) -> tuple[int, ...]:
    """after: the address of the next instruction, which loads are relative to."""
    loaded = _LOADED.search(operands)
    if loaded:
        at = after + int(loaded[3], 16) * (1 if loaded[2] == "+" else -1)
        return _words_at(parts, at, {"dword": 1, "qword": 2, "xmmword": 4, "ymmword": 8, "zmmword": 16}[loaded[1]])
    last = operands.rsplit(", ", 1)[-1]
    if name.startswith(("mov", "cmp")) and _NUMBER.fullmatch(last):
        value = int(last, 0)
        return (value & 0xFFFFFFFF, value >> 32) if value >> 32 else (value,)
    return ()


def _words_at(parts: dict[str, Section], address: int, count: int) -> tuple[int, ...]:
    for part in parts.values():
        at = address - part.address
        if part.address and 0 <= at <= len(part.content) - 4 * count:
            return struct.unpack_from(f"<{count}I", part.content, at)
    return ()
