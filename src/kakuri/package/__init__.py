"""The ``.kkr`` container: what every room ships, in one checked file.

Purpose: carry a manifest, ONNX, safetensors and raw binary entries between machines that do not trust each other's
bytes.
Guarantees: see ``layout`` (one encoding only), ``reader`` (bounded, hashes checked before use), ``writer`` (atomic,
deterministic). Any zip tool can list and extract a package.
Does not guarantee: secrecy or authorship. A package is not encrypted, and whoever can rewrite it can rewrite its
hashes; signatures and sealing are contents of the rooms that need them. Secret keys have their own file
(``trust.secret_file``).

The format
- a stored (never compressed) zip; names are flat, ``[A-Za-z0-9][A-Za-z0-9._-]{0,99}``; no comment, no gap, no overlap;
- the first entry is ``manifest.json``: format, version, room, created_by, entries (name, bytes, sha256) and the room's
  own ``content`` object; the others follow in the order of their names, each starting at a multiple of 64 bytes;
- zip64 only where a size or offset needs it, so a package may exceed 4 GiB.
"""

from kakuri.package.limits import Limits
from kakuri.package.manifest import Entry
from kakuri.package.reader import Package, is_package, open_package
from kakuri.package.writer import Source, write

__all__ = ["Entry", "Limits", "Package", "Source", "is_package", "open_package", "write"]
