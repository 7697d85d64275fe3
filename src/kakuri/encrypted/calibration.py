"""What a unit of work costs on this machine, measured once.

Purpose: operations of the kernel are timed on a ring of typical size, whose keys and diagonals do not fit into caches
(a few seconds); ``timing`` predicts programs from them.
Guarantees: keys made here are thrown away; the result is kept in the user's cache folder under the processor's name
and the kernel path, and measured again when either changes.
Does not guarantee: anything while other programs use the machine, nor that a machine keeps its speed (shared ones
change it by half within minutes); ``measure_again`` forgets.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import statistics
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path

import numpy as np

from kakuri import _ckks, _ckks_secret
from kakuri.encrypted.chain import CONJUGATE_INVARIANT
from kakuri.encrypted.timing import Machine
from kakuri.zoo.data.folders import cache_folder

LOG_N, LIMBS, SPECIAL, DIGITS = 14, 6, 3, 2
RUNS, OUTPUTS, BABIES = 11, 24, 6
LEAST = 0.05  # nanoseconds; what noise in the measurement cannot undercut
_VERSION = 4


@cache
def this_machine() -> Machine:
    """From the cache folder, or measured now; an unwritable folder only means that the next process measures again."""
    file = _file()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        stored = json.loads(file.read_text(encoding="utf-8"))
        values = [float(stored[field.name]) for field in fields(Machine)]
        if all(0.0 < value < 1e3 for value in values):
            return Machine(*values)
    measured = measure()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    return measured


def measure_again() -> None:
    """Forgets what was measured, in this process and in the cache folder; the next prediction measures."""
    this_machine.cache_clear()
    with contextlib.suppress(OSError):
        _file().unlink(missing_ok=True)


def _file() -> Path:
    name = json.dumps([_VERSION, _ckks.kernel_path(), _processor()])
    return cache_folder() / f"calibration-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()


def measure() -> Machine:
    """One thread."""
    primes = _ckks.ntt_primes(LOG_N, [40] * LIMBS + [41] * SPECIAL, CONJUGATE_INVARIANT)
    parameters = _ckks.Parameters(LOG_N, primes[:LIMBS], primes[LIMBS:], DIGITS, ring=CONJUGATE_INVARIANT)
    secret = _ckks_secret.SecretKey.generate(parameters)
    level, n = LIMBS - 1, parameters.n
    evaluator = _ckks.Evaluator(parameters, secret.evaluation_keys(dict.fromkeys(range(1, BABIES + 1), level), None))
    values = np.random.default_rng(0).normal(size=parameters.slots)
    fresh = secret.encrypt(_ckks.encode(parameters, values, 2.0**30, level)).to_bytes()
    ciphertext = _ckks.Ciphertext.from_bytes(parameters, fresh)

    def transform(outputs: int, babies: list[int]) -> Callable[[], object]:
        entries = [(o, 0, 0, b, values) for o in range(outputs) for b in babies]
        diagonals = _ckks.encode_diagonals(parameters, level, 2.0**20, entries, inputs=1, outputs=outputs)
        return lambda: evaluator.linear_transform([ciphertext], diagonals)

    steps = list(range(1, BABIES + 1))
    load, one, hoisted, turned, wide, full = _medians(
        [
            lambda: (zlib.crc32(fresh), _ckks.Ciphertext.from_bytes(parameters, fresh)),
            transform(1, [0]),
            transform(1, steps[:1]),
            transform(1, steps),
            transform(OUTPUTS, [0]),
            transform(OUTPUTS, steps),
        ]
    )
    extended = len(primes)
    diagonal = ((full - turned) - (wide - one)) / ((OUTPUTS - 1) * (BABIES - 1))
    baby = (turned - hoisted) / (BABIES - 1) - diagonal
    # Transforms are priced with what surrounds them in a key switch: base conversion, copies, folds.
    butterfly = (hoisted - one - baby) / (DIGITS * extended * n * LOG_N / 2)
    nanoseconds = (
        1e9 * butterfly,
        1e9 * diagonal / (2 * extended * n),
        1e9 * baby / (2 * DIGITS * extended * n),
        1e9 * load / (LIMBS * n),
    )
    return Machine(*(max(LEAST, x) for x in nanoseconds))


def _medians(runs: list[Callable[[], object]]) -> list[float]:
    """Processor seconds of each, taken in turns."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(RUNS):
        for run, found in zip(runs, seconds, strict=True):
            start = time.process_time()
            run()
            found.append(time.process_time() - start)
    return [statistics.median(found) for found in seconds]
