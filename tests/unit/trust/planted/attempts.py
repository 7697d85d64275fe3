"""What a planted library might try. Each function returns 0 when it got its way; an ``OSError`` means it did not.

Standard library only: the tests run these inside the sandbox and, as a control, outside.
"""

from __future__ import annotations

import array
import ctypes
import os
import signal
import socket
import struct
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number: int, *arguments: object) -> int:
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def inet_stream(_: list[str]) -> int:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    return 0


def inet_datagram(_: list[str]) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.sendto(b"secret", ("127.0.0.1", 9))
    return 0


def inet6(_: list[str]) -> int:
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    return 0


def unix_socket(_: list[str]) -> int:
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()
    return 0


def netlink(_: list[str]) -> int:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
    return 0


def vsock(_: list[str]) -> int:
    call(41 if os.uname().machine == "x86_64" else 198, 40, socket.SOCK_STREAM, 0)
    return 0


def pass_descriptor(_: list[str]) -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    descriptor = array.array("i", [0])
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
    theirs.recvmsg(1, socket.CMSG_LEN(4))
    return 0


def io_uring(_: list[str]) -> int:
    call(425, ctypes.c_uint(1), ctypes.create_string_buffer(120))
    return 0


def trace_parent(_: list[str]) -> int:
    number = 101 if os.uname().machine == "x86_64" else 117
    call(number, ctypes.c_long(16), ctypes.c_long(os.getppid()), None, None)
    return 0


def read_parent_memory(_: list[str]) -> int:
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("PN", ctypes.addressof(buffer), 8)
    remote = struct.pack("PN", 0x1000, 8)
    number = 310 if os.uname().machine == "x86_64" else 270
    call(number, ctypes.c_long(os.getppid()), local, ctypes.c_ulong(1), remote, ctypes.c_ulong(1), ctypes.c_ulong(0))
    return 0


def take_parents_descriptor(_: list[str]) -> int:
    parent = call(434, ctypes.c_int(os.getppid()), ctypes.c_uint(0))
    call(438, ctypes.c_int(parent), ctypes.c_int(1), ctypes.c_uint(0))
    return 0


def fork(_: list[str]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return 0


def execute(_: list[str]) -> int:
    return subprocess.run(["/bin/true"], check=True).returncode


def foreign_table(_: list[str]) -> int:
    """getpid through the x32 table of x86_64."""
    return 0 if call(0x40000000 + 39) > 0 else 1


# The attempts below fail with an error inside the sandbox and leave the process alive.


def write_outside(words: list[str]) -> int:
    with open(os.path.join(words[0], "dropped"), "w", encoding="ascii") as file:
        file.write("secret")
    return 0


def truncate_outside(words: list[str]) -> int:
    os.truncate(os.path.join(words[0], "present"), 3)
    return 0


def change_mode(words: list[str]) -> int:
    os.chmod(os.path.join(words[0], "present"), 0o640)
    return 0


def change_times(words: list[str]) -> int:
    os.utime(os.path.join(words[0], "present"), (1, 2))
    return 0


def change_attribute(words: list[str]) -> int:
    os.setxattr(os.path.join(words[0], "present"), "user.secret", b"1")
    return 0


def link_outside(words: list[str]) -> int:
    os.symlink("secret", os.path.join(words[0], "link"))
    return 0


def move_outside(words: list[str]) -> int:
    inside = os.path.join(words[1], "made")
    with open(inside, "w", encoding="ascii") as file:
        file.write("secret")
    os.rename(inside, os.path.join(words[0], "moved"))
    return 0


def lock_outside(words: list[str]) -> int:
    import fcntl

    with open(os.path.join(words[0], "present"), encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return 0


def read_home(words: list[str]) -> int:
    with open(os.path.join(words[2], "private"), encoding="ascii") as file:
        return 0 if file.read() else 1


def signal_parent(_: list[str]) -> int:
    os.kill(os.getppid(), signal.SIGCONT)
    return 0


def rename_process(_: list[str]) -> int:
    if libc.prctl(15, b"secret", 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return 0


def anonymous_file(_: list[str]) -> int:
    os.close(os.memfd_create("secret"))
    return 0


def raise_limit(_: list[str]) -> int:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    return 0


def write_parents_files(_: list[str]) -> int:
    with open(f"/proc/{os.getppid()}/comm", "w", encoding="ascii") as file:
        file.write("secret")
    return 0


def foreign_descriptor(words: list[str]) -> int:
    os.write(int(words[3]), b"secret")
    return 0


STOPPED = (
    "inet_stream inet_datagram inet6 unix_socket netlink vsock pass_descriptor io_uring trace_parent "
    "read_parent_memory take_parents_descriptor execute foreign_table"
)
REFUSED = (
    "fork write_outside truncate_outside change_mode change_times change_attribute link_outside move_outside "
    "lock_outside read_home signal_parent rename_process anonymous_file raise_limit write_parents_files "
    "foreign_descriptor"
)


def all_refused(words: list[str]) -> int:
    """Makes every attempt of ``REFUSED``; writes the names of those that got their way to the descriptor words[4]."""
    done = []
    for name in REFUSED.split():
        try:
            if globals()[name](words) == 0:
                done.append(name)
        except (OSError, ValueError):  # the resource module says ValueError
            pass
    os.write(int(words[4]), (" ".join(done) + ".").encode())
    return 0


def work(words: list[str]) -> int:
    """Honest work: compute, read what may be read, write where one may write, use threads."""
    import threading

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(sum(range(1000))))
    thread.start()
    thread.join()
    with open(os.path.join(words[0], "present"), encoding="ascii") as file:
        text = file.read()
    part = os.path.join(words[1], "result.part")
    with open(part, "w", encoding="ascii") as file:
        file.write(f"{text} {results[0]}")
        os.fsync(file.fileno())
    os.replace(part, os.path.join(words[1], "result"))
    return 0


def spend(_: list[str]) -> int:
    while True:
        pass


def hoard(_: list[str]) -> int:
    try:
        return len(bytearray(1 << 30)) and 0
    except MemoryError:
        return 9
