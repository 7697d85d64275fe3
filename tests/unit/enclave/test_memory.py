"""What the worker's memory is on kernels and under limits that offer less, and that the guarantee says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.enclave.victims import ROOT, folder_of_nobody, session_of_nobody

NO_SWAP = "the pages of weights may reach the swap"


@pytest.fixture(scope="module")
def folder(made):
    with folder_of_nobody(made) as path:
        yield path


def test_where_there_is_memfd_secret_it_is_used(made, folder):
    with session_of_nobody(made, folder) as (_, found):
        assert found["memory"] == "memfd_secret memory"
        assert NO_SWAP not in found["does_not_protect"]


def test_without_memfd_secret_the_pages_are_locked_and_left_out_of_dumps(made, folder):
    with session_of_nobody(made, folder, "no-memfd-secret") as (_, found):
        assert found["memory"].startswith("locked memory that dumps leave out")
        assert NO_SWAP not in found["does_not_protect"]
        if not ROOT:
            return
        flags = [line.split()[1:] for line in smaps(found["worker"]) if line.startswith("VmFlags")]
        assert any({"lo", "dd", "dc"} <= set(line) for line in flags)
        assert locked_kib(found["worker"]) * 1024 >= found["secure_bytes"]


def test_where_nothing_can_be_locked_the_load_is_refused(made, folder):
    """RLIMIT_MEMLOCK bounds both kinds; an unprivileged user cannot raise its hard limit."""
    with session_of_nobody(made, folder, "no-locking") as (_, found):
        assert found["code"] == "KK-W11"
        assert "RLIMIT_MEMLOCK" in found["what"]


def test_memory_that_may_be_swapped_needs_permission_and_is_named(made, folder):
    with session_of_nobody(made, folder, "no-locking", "swappable") as (_, found):
        assert found["memory"] == "memory that may be swapped (allowed by the policy)"
        assert NO_SWAP in found["does_not_protect"]


def smaps(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/smaps").read_text(encoding="ascii").splitlines()


def locked_kib(pid: int) -> int:
    return sum(int(line.split()[1]) for line in smaps(pid) if line.startswith("Locked:"))
