"""Which system calls a confined process may make.

Purpose: the rules that ``bpf`` assembles: an allow list for computing, reading, threads and writing to opened files.
Guarantees: no socket of any family, no io_uring, no ptrace or reading of other processes, no passing of descriptors,
no new process (unless the policy names programs), no signal to another process, no change of a file's mode, owner,
times or attributes, no thread or process name. Such an attempt ends the process with SIGSYS where no library makes
it by accident, and fails with EPERM elsewhere.
Does not guarantee: silence towards a cooperating process on the same machine, which can watch processor time, caches or
memory use.
"""

from __future__ import annotations

import errno

from kakuri.trust.sandbox.bpf import ALLOW, KILL_PROCESS, Condition, Rule, refuse

_ALLOWED = """
read readv pread64 preadv write writev pwrite64 lseek open openat close close_range stat fstat lstat newfstatat statx
access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd dup dup2 dup3 pipe2
mmap munmap mprotect mremap madvise brk msync futex set_robust_list get_robust_list rseq set_tid_address sched_yield
sched_getaffinity getcpu getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getrandom uname sysinfo
getrusage getrlimit times clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday rt_sigaction rt_sigprocmask
rt_sigreturn rt_sigtimedwait sigaltstack restart_syscall exit exit_group poll ppoll select pselect6 membarrier statfs
fstatfs umask mkdir mkdirat unlink unlinkat rename renameat renameat2 link linkat ftruncate fsync fdatasync fallocate
fadvise64
"""

_STOPPED = """
socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd
pidfd_send_signal kcmp mount umount2 pivot_root chroot unshare setns bpf perf_event_open userfaultfd add_key request_key
keyctl msgget msgsnd semget semop shmget shmat mq_open init_module finit_module delete_module kexec_load kexec_file_load
name_to_handle_at open_by_handle_at fanotify_init setuid setgid setreuid setregid setresuid setresgid reboot
"""

_NEW_PROCESS = ("execve", "execveat", "fork", "vfork")
_STARTING = ("arch_prctl", "wait4", "waitid")  # what a program needs to begin, and its parent to see it end
_CLONE_THREAD = 0x00010000
_DUPLICATE_OR_FLAGS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; no lock, no owner
_SET_STATUS_FLAGS = 4
_CLOSE_ON_EXEC = (0x5451, 0x5450)  # FIOCLEX, FIONCLEX


def rules(own_pid: int, *, programs: bool = False) -> list[Rule]:
    """The rules for the process ``own_pid``. ``programs``: it may start programs (Landlock says which)."""
    allowed = [Rule(name, ALLOW) for name in _ALLOWED.split()]
    stopped = [Rule(name, KILL_PROCESS) for name in _STOPPED.split()]
    processes = [Rule(name, ALLOW if programs else KILL_PROCESS) for name in _NEW_PROCESS]
    started = [Rule(name, ALLOW) for name in _STARTING] if programs else []
    thread = Condition(0, (_CLONE_THREAD,), mask=_CLONE_THREAD)
    return [
        *allowed,
        *stopped,
        *processes,
        *started,
        Rule("clone", ALLOW, None if programs else thread),
        Rule("clone3", refuse(errno.ENOSYS)),  # its flags lie behind a pointer; the C library falls back to clone
        Rule("fcntl", ALLOW, Condition(1, (*_DUPLICATE_OR_FLAGS, _SET_STATUS_FLAGS))),
        Rule("ioctl", ALLOW, Condition(1, _CLOSE_ON_EXEC)),
        Rule("prlimit64", ALLOW, Condition(2, (0,), wide=True)),  # reading a limit, not setting one
        Rule("kill", ALLOW, Condition(0, (own_pid,))),
        Rule("tgkill", ALLOW, Condition(0, (own_pid,))),
    ]
