"""General data as people keep it: a folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kakuri.errors import KakuriError, Problem
from kakuri.personal.dataset import GeneralData
from kakuri.personal.inputs.spec import InputSpec


def read_general(trained: Path, held_out: Path, spec: InputSpec) -> GeneralData:
    """Both folders hold a folder per class; class names are those of ``trained``, in order.

    Raises KK-P08 for a folder without classes or with unknown ones, and reports every unreadable file together.
    """
    names = tuple(sorted(item.name for item in trained.iterdir() if item.is_dir())) if trained.is_dir() else ()
    unknown = sorted(item.name for item in held_out.iterdir() if item.is_dir() and item.name not in names)
    if not names or unknown:
        what = "the held-out folder has classes of its own" if unknown else "not a folder with a folder for each class"
        raise KakuriError("KK-P08", what, where=held_out if unknown else trained, got=", ".join(unknown[:5]))
    samples, labels, held, problems = [], [], [], list[Problem]()
    for root, is_held in ((trained, False), (held_out, True)):
        for label, name in enumerate(names):
            folder = root / name
            for path in spec.files(folder) if folder.is_dir() else []:
                try:
                    samples.append(spec.read(path))
                    labels.append(label)
                    held.append(is_held)
                except KakuriError as error:
                    problems.extend(error.problems)
    if problems:
        raise KakuriError.collect(problems)
    if not samples:
        limit = ", ".join(sorted(spec.suffixes))
        raise KakuriError("KK-P08", "the folders hold nothing to read", where=trained, limit=limit)
    return GeneralData(np.stack(samples), np.array(labels), names, np.array(held))
