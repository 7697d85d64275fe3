"""Numbers of system calls, for the filter.

Purpose: names in the policy, numbers in the kernel, for the two processor families that Kakuri supports.
Guarantees: the table equals the kernel's own headers (tested where the headers are installed).
Does not guarantee: completeness; a call without a row here is refused by the filter's default.
Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

from collections.abc import Mapping

#: name, number on x86_64, number on aarch64; ``-`` where the architecture has no such call.
_TABLE = """
read 0 63; readv 19 65; pread64 17 67; preadv 295 69; write 1 64; writev 20 66; pwrite64 18 68; lseek 8 62;
open 2 -; openat 257 56; close 3 57; close_range 436 436; stat 4 -; fstat 5 80; lstat 6 -; newfstatat 262 79;
statx 332 291; access 21 -; faccessat 269 48; faccessat2 439 439; readlink 89 -; readlinkat 267 78;
getdents 78 -; getdents64 217 61; getcwd 79 17; dup 32 23; dup2 33 -; dup3 292 24; pipe2 293 59; fcntl 72 25;
ioctl 16 29; mmap 9 222; munmap 11 215; mprotect 10 226; mremap 25 216; madvise 28 233; brk 12 214;
msync 26 227; futex 202 98; set_robust_list 273 99; get_robust_list 274 100; rseq 334 293;
set_tid_address 218 96; sched_yield 24 124; sched_getaffinity 204 123; getcpu 309 168; getpid 39 172;
gettid 186 178; getppid 110 173; getuid 102 174; geteuid 107 175; getgid 104 176; getegid 108 177;
getresuid 118 148; getresgid 120 150; getrandom 318 278; uname 63 160; sysinfo 99 179; getrusage 98 165;
getrlimit 97 163; prlimit64 302 261; times 100 153; clock_gettime 228 113; clock_getres 229 114;
clock_nanosleep 230 115; nanosleep 35 101; gettimeofday 96 169; rt_sigaction 13 134; rt_sigprocmask 14 135;
rt_sigreturn 15 139; rt_sigtimedwait 128 137; sigaltstack 131 132; restart_syscall 219 128; exit 60 93;
exit_group 231 94; poll 7 -; ppoll 271 73; select 23 -; pselect6 270 72; membarrier 324 283; statfs 137 43;
fstatfs 138 44; clone 56 220; clone3 435 435; kill 62 129; tgkill 234 131; umask 95 166; mkdir 83 -;
mkdirat 258 34; unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38; renameat2 316 276; link 86 -;
linkat 265 37; ftruncate 77 46; fsync 74 82; fdatasync 75 83; fallocate 285 47; fadvise64 221 223;
socket 41 198; socketpair 53 199; connect 42 203; bind 49 200; listen 50 201; accept 43 202; accept4 288 242;
sendto 44 206; sendmsg 46 211; sendmmsg 307 269; recvfrom 45 207; recvmsg 47 212; recvmmsg 299 243;
io_uring_setup 425 425; io_uring_enter 426 426; io_uring_register 427 427; ptrace 101 117;
process_vm_readv 310 270; process_vm_writev 311 271; pidfd_open 434 434; pidfd_getfd 438 438;
pidfd_send_signal 424 424; kcmp 312 272; execve 59 221; execveat 322 281; fork 57 -; vfork 58 -; mount 165 40;
umount2 166 39; pivot_root 155 41; chroot 161 51; unshare 272 97; setns 308 268; bpf 321 280;
perf_event_open 298 241; userfaultfd 323 282; add_key 248 217; request_key 249 218; keyctl 250 219;
msgget 68 186; msgsnd 69 189; semget 64 190; semop 65 193; shmget 29 194; shmat 30 196; mq_open 240 180;
init_module 175 105; finit_module 313 273; delete_module 176 106; kexec_load 246 104; kexec_file_load 320 294;
name_to_handle_at 303 -; open_by_handle_at 304 -; fanotify_init 300 262; setuid 105 146; setgid 106 144;
setreuid 113 145; setregid 114 143; setresuid 117 147; setresgid 119 149; reboot 169 142; memfd_create 319 279;
memfd_secret 447 447; arch_prctl 158 -; wait4 61 260; waitid 247 95
"""

#: machine as ``os.uname`` spells it -> AUDIT_ARCH constant that the kernel shows to a filter.
AUDIT_ARCH: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 1, "aarch64": 2}


def numbers(machine: str) -> dict[str, int]:
    """Name -> number of every call that ``machine`` (a key of ``AUDIT_ARCH``) has."""
    rows = [row.split() for row in _TABLE.replace("\n", " ").split(";")]
    return {row[0]: int(row[_COLUMN[machine]]) for row in rows if row[_COLUMN[machine]] != "-"}
