"""The sandbox against a red team: nothing of ``planted.attempts`` gets out, and honest work still works."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kakuri import KakuriError
from kakuri.trust import sandbox
from kakuri.trust.sandbox import syscalls
from tests.unit.trust.planted import attempts

PLANTED = str(Path(attempts.__file__).parent)
pytestmark = pytest.mark.skipif(
    sandbox.available().landlock_version < 3 or not sandbox.available().seccomp,
    reason="this kernel offers no Landlock ABI 3 or no seccomp: nothing to test",
)


class Place:
    """Three folders: one to read, one to write, one out of sight; and a descriptor that is not handed over."""

    def __init__(self, root: Path) -> None:
        self.photos, self.work, self.home = root / "photos", root / "work", root / "home"
        for folder in (self.photos, self.work, self.home):
            folder.mkdir()
        (self.photos / "present").write_text("photo")
        (self.home / "private").write_text("private")
        self.reader, self.writer = os.pipe()
        os.set_inheritable(self.writer, True)  # only close_fds keeps it from the child

    def words(self, report: int) -> list[str]:
        return [str(self.photos), str(self.work), str(self.home), str(self.writer), str(report)]

    def policy(self, **changes: object) -> sandbox.Policy:
        read = (*sandbox.python_runtime(), str(self.photos))
        return sandbox.Policy(read=read, write=str(self.work), **changes)  # type: ignore[arg-type]

    def run(self, name: str, report: int = -1, **changes: object) -> int:
        fds = [report] if report >= 0 else []
        words = self.words(report)
        child = sandbox.start(f"attempts:{name}", self.policy(**changes), words, pass_fds=fds, search=[PLANTED])
        return child.wait(60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("name", attempts.STOPPED.split())
def test_a_planted_library_that_tries_is_stopped_and_reported(place: Place, name: str) -> None:
    if name == "foreign_table" and os.uname().machine != "x86_64":
        pytest.skip("x86_64 alone has a second table")
    with pytest.raises(KakuriError) as caught:
        place.run(name)
    assert caught.value.code == "KK-S05"
    assert "forbidden" in caught.value.problem.got


def test_what_is_refused_gets_nothing_out(place: Place) -> None:
    before = (place.photos / "present").stat()
    reader, writer = os.pipe()
    assert place.run("all_refused", writer) == 0
    os.close(writer)
    assert os.read(reader, 4096) == b"."
    assert [item.name for item in place.photos.iterdir()] == ["present"]
    after = (place.photos / "present").stat()
    assert (after.st_mode, after.st_size, after.st_mtime_ns) == (before.st_mode, before.st_size, before.st_mtime_ns)
    os.close(place.writer)
    assert os.read(place.reader, 10) == b""


def test_outside_the_sandbox_the_same_attempts_succeed(place: Place) -> None:
    """The control: without it a broken attempt would look like a working sandbox."""
    reader, writer = os.pipe()
    code = f"import sys; sys.path.insert(0, {PLANTED!r}); import attempts; attempts.all_refused(sys.argv[1:])"
    command = [sys.executable, "-c", code, *place.words(writer)]
    subprocess.run(command, pass_fds=(writer, place.writer), check=True)
    os.close(writer)
    done = set(os.read(reader, 4096).decode().rstrip(".").split())
    kernel_dependent = {"change_attribute", "write_parents_files"}
    assert set(attempts.REFUSED.split()) - kernel_dependent <= done
    for name in ("inet_stream", "unix_socket", "netlink", "pass_descriptor", "execute"):
        assert getattr(attempts, name)([]) == 0


def test_honest_work_is_done(place: Place) -> None:
    assert place.run("work") == 0
    assert (place.work / "result").read_text() == "photo 499500"


def test_processor_time_is_bounded(place: Place) -> None:
    with pytest.raises(KakuriError, match="processor time"):
        place.run("spend", cpu_seconds=1)


def test_memory_is_bounded(place: Place) -> None:
    assert place.run("hoard", memory_bytes=256 << 20) == 9


def test_a_child_that_cannot_be_confined_as_asked_never_runs(place: Place) -> None:
    with pytest.raises(KakuriError) as caught:
        place.run("work", landlock_version=99)
    assert caught.value.code == "KK-S02"
    missing = sandbox.Policy(read=(str(place.home / "nothing"),), write=str(place.work))
    with pytest.raises(KakuriError) as caught:
        sandbox.start("attempts:work", missing, place.words(-1), search=[PLANTED])
    assert caught.value.code == "KK-S03"
    assert list(place.work.iterdir()) == []


def test_programs_run_only_when_named(place: Place) -> None:
    true = str(Path("/bin/true").resolve())
    child = os.fork()
    if child == 0:  # no Python after this fork but confine and exec
        sandbox.confine(sandbox.Policy(read=("/lib", "/usr/lib", "/etc"), programs=_runnable(true)))
        try:
            os.execv("/bin/sh", ["sh"])
        except OSError as error:
            os.execv(true, ["true"] if error.errno == errno.EACCES else ["true", "--help"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _runnable(program: str) -> tuple[str, ...]:
    """The program and the loader that the kernel executes for it."""
    loaders = [path for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(path)]
    return (program, *(str(Path(path).resolve()) for path in loaders))


def test_confinement_says_what_is_in_force(place: Place) -> None:
    child = sandbox.start("attempts:work", place.policy(), place.words(-1), search=[PLANTED])
    assert child.wait(60) == 0
    assert child.confinement.seccomp
    assert child.confinement.landlock_version >= 3
    assert child.confinement == sandbox.available()
    assert "seccomp" in str(child.confinement)


def test_a_killed_child_is_told_apart_from_a_stopped_one(place: Place) -> None:
    child = sandbox.start("attempts:spend", place.policy(), place.words(-1), search=[PLANTED])
    child.process.kill()
    assert child.wait(60) == -signal.SIGKILL


def test_a_policy_travels_as_text_and_nothing_else_does() -> None:
    policy = sandbox.Policy(read=("/a", "/b"), write="/c", cpu_seconds=7)
    assert sandbox.Policy.from_json(policy.to_json()) == policy
    for text in ("", "{}", "[]", policy.to_json() + " ", policy.to_json().replace("read", "reed")):
        with pytest.raises(KakuriError) as caught:
            sandbox.Policy.from_json(text)
        assert caught.value.code == "KK-S01"


@pytest.mark.parametrize(
    ("machine", "header", "pattern"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+) (\d+)"),
        ("aarch64", "/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+) (\d+)"),
    ],
)
def test_numbers_are_the_kernel_headers(machine: str, header: str, pattern: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    listed: dict[str, int] = {}
    for name, number in re.findall(pattern, Path(header).read_text()):
        listed.setdefault(name, int(number))
    if machine == "aarch64":
        listed["newfstatat"] = listed["fstatat"]
    ours = syscalls.numbers(machine)
    assert len(ours) > 100
    assert {name: number for name, number in ours.items() if listed.get(name) != number} == {}
