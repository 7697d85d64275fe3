"""The C++ test programs: constant time under valgrind, kernel paths bit for bit, samplers, threads; sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from decimal import Decimal, getcontext
from pathlib import Path

import pytest

from kakuri import _ckks

Build = Callable[[str], Path]
NATIVE = Path(__file__).parents[3] / "native/ckks"


def run(command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=550, check=False)


def memcheck(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("valgrind is not installed")
    done = run([valgrind, "--error-exitcode=9", "--leak-check=no", str(program), *arguments])
    if done.returncode == 77:
        pytest.skip("built without valgrind/memcheck.h")
    return done


def test_no_branch_or_address_depends_on_a_secret(build_programs: Build) -> None:
    done = memcheck(build_programs("") / "constant_time")
    assert done.returncode == 0, done.stderr
    assert "ERROR SUMMARY: 0 errors" in done.stderr
    for path in set(_ckks.available_kernel_paths()) - {"avx512", "ifma"}:  # valgrind knows no AVX-512
        assert f"{path} ran" in done.stdout


def test_avx512_code_never_turns_lanes_into_conditions(build_programs: Build) -> None:
    """Valgrind cannot run this path, whose source is the template that it runs for AVX2. In its machine code, none of
    the instructions that compare floating-point lanes into flags, or move a mask or a truncated lane to a general
    register, occurs; masks only select lanes. (Moves of whole lanes occur: the compiler keeps loop counters
    there.)"""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not installed")
    (code,) = build_programs("").rglob("kernels_avx512.cpp.o")
    done = run([objdump, "-d", "--no-show-raw-insn", str(code)])
    assert done.returncode == 0
    lines = [line.split("\t")[-1].split() for line in done.stdout.splitlines() if "\t" in line]
    used = {words[0] for words in lines if words}
    assert {"vfmadd132pd", "vcvtqq2pd"} <= used  # the right file, disassembled as AVX-512
    conditions = ("kortest", "ktest", "vptest", "vtest", "vcomis", "vucomis", "vmovmsk", "vcvttsd2", "vcvtsd2")
    found = {name for name in used if name.startswith(conditions) and not name.startswith(("vptestm", "vptestnm"))}
    assert found == set()
    masks = [words for words in lines if words and words[0].startswith("kmov") and "%k" in words[1].split(",")[0]]
    assert [words for words in masks if words[1].split(",")[1].startswith(("%r", "%e"))] == []


def test_the_constant_time_check_reports_a_leak(build_programs: Build) -> None:
    done = memcheck(build_programs("") / "constant_time", "leaky")
    assert done.returncode == 9
    assert "depends on uninitialised value" in done.stderr
    assert "leaky_sample" in done.stderr


def test_kernel_paths_are_bit_identical(build_programs: Build) -> None:
    """All primitives, extremes included; the ifma code runs on portable vectors where the processor lacks it."""
    done = run([str(build_programs("") / "kernels_agree")])
    assert done.returncode == 0, done.stdout
    ran = {line.split(":")[0] for line in done.stdout.splitlines()}
    assert ran >= {"ifma-emulated", *_ckks.available_kernel_paths()} - {"scalar"}


def sample(program: Path, kind: str, words: list[int]) -> list[int]:
    done = run([str(program), kind], f"{kind}\n" + "\n".join(map(str, words)))
    assert done.returncode == 0
    return [int(line) for line in done.stdout.split()]


def test_gaussian_thresholds_are_those_of_sigma_3_19(build_programs: Build) -> None:
    """The cumulative distribution in 60 digits: one word below each threshold and one above."""
    getcontext().prec = 60
    weights = [(-(Decimal(k) ** 2) / (2 * Decimal("3.19") ** 2)).exp() for k in range(21)]
    total = weights[0] + 2 * sum(weights[1:])
    words, expected, below = [], [], weights[0]
    for k in range(20):
        threshold = int((below / total * 2**63).to_integral_value())
        words += [2 * (threshold - 1), 2 * threshold, 2 * (threshold - 1) + 1, 2 * threshold + 1]
        expected += [k, k + 1, -k, -(k + 1)]
        below += 2 * weights[k + 1]
    words += [0, 1, 2**64 - 1, 2**64 - 2]
    expected += [0, 0, -20, 20]
    assert sample(build_programs("") / "sampler", "gaussian", words) == expected


def test_ternary_is_the_third_of_the_word(build_programs: Build) -> None:
    third = -(-(2**64) // 3)
    words = [0, third - 1, third, 2 * third - 2, 2 * third - 1, 2**64 - 1]
    assert (
        sample(build_programs("") / "sampler", "ternary", words) == [3 * w >> 64 for w in words] == [0, 0, 1, 1, 2, 2]
    )


@pytest.mark.slow
def test_parsers_under_sanitizers(build_programs: Build) -> None:
    done = run([str(build_programs("address,undefined") / "fuzz_parsers"), "50000"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 7


@pytest.mark.slow
def test_kernels_under_sanitizers(build_programs: Build) -> None:
    done = run([str(build_programs("address,undefined") / "kernels_agree")])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_task_of_a_pool_runs_once(build_programs: Build) -> None:
    done = run([str(build_programs("") / "thread_pool")])
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.slow
def test_threads_under_sanitizer(build_programs: Build) -> None:
    """The pool by itself, and every operation of a compiled network with more threads than divide its limbs."""
    programs = build_programs("thread")
    for command in (["thread_pool"], ["replay", str(NATIVE / "bench/plans/mnist.plan"), "1", "3"]):
        done = run([str(programs / command[0]), *command[1:]])
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ThreadSanitizer" not in done.stderr


@pytest.mark.slow
def test_a_network_under_sanitizers(build_programs: Build) -> None:
    programs = build_programs("address,undefined")
    done = run([str(programs / "replay"), str(NATIVE / "bench/plans/mnist.plan"), "1", "2"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_network_replayed_again_takes_no_new_memory(build_programs: Build) -> None:
    """Every operation of a compiled network, after a first round: no page fault, so no page from the system."""
    plan = NATIVE / "bench/plans/mnist.plan"
    done = run([str(build_programs("") / "replay"), str(plan), "2"])
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("page faults")]
    assert int(line.split()[-1]) == 0


@pytest.mark.parametrize("text", ["ring standard x", "diagonal 0 0 0 0", "nonsense"])
def test_replay_refuses_what_is_no_plan(build_programs: Build, tmp_path: Path, text: str) -> None:
    plan = tmp_path / "broken.plan"
    plan.write_text(text + "\n", encoding="utf-8")
    done = run([str(build_programs("") / "replay"), str(plan)])
    assert done.returncode == 2
    assert done.stderr.startswith("replay: ")
