"""Free Spoken Digit Dataset: recordings by speaker and digit.

Purpose: `load_fsdd` from a tar archive or an unpacked folder of ``DIGIT_SPEAKER_TAKE.wav``.
Guarantees: only files with such names are read, at most `MAX_RECORDING_BYTES` each; takes come in their order; nothing
is unpacked to disk.
Does not guarantee: that a recording is what its name says.
Source: Jackson et al., Free Spoken Digit Dataset, CC BY-SA 4.0: 6 speakers, 10 digits, 50 takes, 8 kHz.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kakuri.errors import KakuriError
from kakuri.zoo.data.folders import candidates
from kakuri.zoo.data.tar_members import members

MAX_RECORDING_BYTES = 1 << 20
_RECORDING = re.compile(r"(?:^|/)(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<take>[0-9]{1,3})[.]wav$")


def load_fsdd(folder: Path | str | None = None) -> dict[str, list[list[bytes]]]:
    """Speaker -> for each digit the WAV bytes of its takes.

    folder: where an archive ``fsdd*.tar*`` or the recordings lie, directly or in its ``fsdd/``. Without it,
    ``KAKURI_DATA`` and then the cache are searched. Raises KK-D20 when nothing is found, KK-D11 for an archive that
    cannot be read.
    """
    places = candidates("fsdd", folder)
    for place in places:
        archives = sorted(place.glob("fsdd*.tar*"))
        found = _sorted(members(archives[0], _RECORDING, MAX_RECORDING_BYTES) if archives else _unpacked(place))
        if found:
            return found
    hint = "unpack the data set there, or set KAKURI_DATA to the folder above fsdd/"
    raise KakuriError("KK-D20", "no recordings of digits", where=", ".join(map(str, places)), hint=hint)


def _sorted(recordings: Iterator[tuple[re.Match[str], bytes]]) -> dict[str, list[list[bytes]]]:
    takes = sorted((m["speaker"], int(m["digit"]), int(m["take"]), content) for m, content in recordings)
    speakers: dict[str, list[list[bytes]]] = {}
    for speaker, digit, _, content in takes:
        speakers.setdefault(speaker, [[] for _ in range(10)])[digit].append(content)
    return speakers


def _unpacked(place: Path) -> Iterator[tuple[re.Match[str], bytes]]:
    for path in [*place.glob("*.wav"), *place.glob("recordings/*.wav")]:
        named = _RECORDING.search(path.as_posix())
        if named and path.stat().st_size <= MAX_RECORDING_BYTES:
            yield named, path.read_bytes()
