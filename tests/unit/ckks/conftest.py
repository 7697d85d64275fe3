"""Small rings for exact checks, a secure ring for real noise, and the kernel's C++ test programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from kakuri import _ckks, _ckks_secret

settings.register_profile("any machine", deadline=None)  # a busy machine is no failure
settings.load_profile("any machine")

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ring:
    """Parameters with a secret and every key the tests use."""

    parameters: _ckks.Parameters
    secret: _ckks_secret.SecretKey
    keys: _ckks.EvaluationKeys
    evaluator: _ckks.Evaluator
    scale: float


def make_ring(
    log_n: int, bits: list[int], special: int, digits: int, scale: float, *, insecure: bool, kind: str = "standard"
) -> Ring:
    primes = _ckks.ntt_primes(log_n, bits, kind)
    split = len(primes) - special
    parameters = _ckks.Parameters(log_n, primes[:split], primes[split:], digits, ring=kind, allow_insecure=insecure)
    secret = _ckks_secret.SecretKey.generate(parameters)
    top = parameters.max_level
    keys = secret.evaluation_keys({1: top, 2: top, 3: top, -1: top, 7: max(top - 1, 0)}, top)
    return Ring(parameters, secret, keys, _ckks.Evaluator(parameters, keys), scale)


@pytest.fixture(scope="session")
def tiny() -> Ring:
    """N = 32, three levels, two digits of two limbs."""
    return make_ring(5, [45, 40, 40, 40, 48, 48], 2, 2, 2.0**40, insecure=True)


@pytest.fixture(scope="session")
def secure() -> Ring:
    """N = 8192 at 128 bits, three levels, one limb per digit."""
    return make_ring(13, [45, 40, 40, 40, 45], 1, 4, 2.0**40, insecure=False)


@pytest.fixture(scope="session")
def build_programs() -> Callable[[str], Path]:
    """Builds the C++ test programs (with sanitizers, if named) and returns their folder, kept in build/."""

    def build(sanitize: str) -> Path:
        cmake = shutil.which("cmake")
        if cmake is None:
            pytest.skip("cmake is not on the path; it comes with the `dev` extra")
        folder = ROOT / "build" / ("ckks-" + (sanitize.replace(",", "-") or "programs"))
        configure = [cmake, "-S", str(ROOT / "native/ckks"), "-B", str(folder), f"-DKAKURI_SANITIZE={sanitize}"]
        for command in (configure, [cmake, "--build", str(folder), "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        return folder

    return build
