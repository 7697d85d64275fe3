"""Reconstruct the picture from what the server saw.

Purpose: look for the pixels themselves, at every offset of the message's head and in every common encoding; and regress
every pixel on many readings of the recorded bytes and side channels. What errs least on the known samples guesses.
Guarantees: the mean image scores 0, a perfect copy 1; the choice between readings never looks at the asked samples.
Does not guarantee: the reconstruction that a generative model with outside pictures could make look plausible.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kakuri.attacks import planted
from kakuri.attacks.attack import Attack, Detail, Float64
from kakuri.attacks.budget import Spending
from kakuri.attacks.learning import BestFit, best_fit, tables
from kakuri.attacks.ridge import Fit
from kakuri.attacks.statistics import Correlation
from kakuri.attacks.target import Question, Target

MAX_PIXELS = 4096
HEAD_BYTES = 64
_ENCODINGS = ("u1", "<f4", "<f8", "<u2", ">f4")


class PixelsFromBytes(Attack):
    name = "pixels_from_bytes"
    recovers = "the picture"
    needs = ("image",)
    must_reach = 0.9
    metric = Correlation("pixel correlation")

    def cases(self, target: Target, random: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
        rows = target.distinct()
        pixels = target.truth["image"][rows].reshape(len(rows), -1)[:, :MAX_PIXELS]
        return rows[:, None], pixels.astype(np.float64)

    def guess(
        self, question: Question, spending: Spending, random: np.random.Generator
    ) -> tuple[Float64, dict[str, Detail]]:
        known = question.known_answers

        def error(fit: Fit) -> float:
            return float(np.mean(np.square(fit.left_out - known)))

        learnt = best_fit(tables(question), question, known, error, spending)
        copied = _copied(question)
        best = copied if copied is not None and copied.error < learnt.error else learnt
        return best.predictions, {"reading": best.reading, "readings_tried": learnt.tried}

    def plaintext(self, target: Target) -> Target:
        return target.unprotected() or planted.sent_as_float32(target)

    def planted(self, random: np.random.Generator) -> Target:
        return planted.plaintext_server(240, random)


def _copied(question: Question) -> BestFit | None:
    """The encoding and offset whose values, times one number plus another, come closest to the known pixels."""
    known, asked = question.known[:, 0], question.asked[:, 0]
    pixels = question.known_answers.shape[1]
    best: BestFit | None = None
    for view, samples in question.views.items():
        joined = [b"".join(sample) for sample in samples]
        for encoding in _ENCODINGS:
            for offset in range(HEAD_BYTES + 1):
                values = _values([joined[index] for index in known], encoding, offset, pixels)
                if values is None:
                    continue
                factor, shift, found = _line(values, question.known_answers)
                if best is None or found < best.error:
                    guessed = _values([joined[index] for index in asked], encoding, offset, pixels)
                    if guessed is not None:
                        name = f"{view} copied as {encoding} from byte {offset}"
                        best = BestFit(factor * guessed + shift, found, name, 1)
    return best


def _values(samples: Sequence[bytes], encoding: str, offset: int, count: int) -> Float64 | None:
    """(samples, count) values, or None when a message is too short or holds anything that no pixel is."""
    needed = offset + count * np.dtype(encoding).itemsize
    if min(len(sample) for sample in samples) < needed:
        return None
    values = np.stack([np.frombuffer(sample, encoding, count, offset) for sample in samples])
    with np.errstate(invalid="ignore"):
        usable = bool(np.all(np.abs(values) < 1e6))
    return values.astype(np.float64) if usable else None


def _line(values: Float64, pixels: Float64) -> tuple[float, float, float]:
    """Least-squares factor and shift from values to pixels, and the mean square that is left."""
    x, y = values - values.mean(), pixels - pixels.mean()
    square = float(np.sum(x * x))
    factor = float(np.sum(x * y)) / square if square > 0 else 0.0
    shift = float(pixels.mean() - factor * values.mean())
    return factor, shift, float(np.mean(np.square(y - factor * x)))
