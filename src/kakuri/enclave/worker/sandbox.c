/* The sandbox around the worker.

   Guarantees: no core dump, not traceable by other processes of the same user, no new privileges; seccomp kills the
   process on any system call but those listed (none of them opens a file or a socket, starts a program or maps
   executable memory); Landlock, where the kernel has it, denies every file and, from ABI 4, TCP as well.
   Does not guarantee: protection from root and from the kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the worker knows x86-64 and arm64"
#endif

int no_dumps(void)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || setrlimit(RLIMIT_CORE, &none))
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Denies what the running kernel can deny; 0 where it has no Landlock. */
static int landlock(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return 0;
    struct {
        uint64_t files, network;
    } rules = {(1ull << 13) - 1, 0};
    if (abi >= 2)
        rules.files |= 1ull << 13; /* refer */
    if (abi >= 3)
        rules.files |= 1ull << 14; /* truncate */
    if (abi >= 5)
        rules.files |= 1ull << 15; /* ioctl on devices */
    if (abi >= 4)
        rules.network = 3; /* bind and connect, TCP */
    size_t bytes = abi >= 4 ? sizeof rules : sizeof rules.files;
    long file = syscall(SYS_landlock_create_ruleset, &rules, bytes, 0);
    if (file < 0)
        return 0;
    long refused = syscall(SYS_landlock_restrict_self, (int)file, 0);
    close((int)file);
    return refused ? 0 : (int)abi;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int seccomp(void)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        KILL,
        LOAD(nr),
        ALLOW(read),
        ALLOW(write),
        ALLOW(writev),
        ALLOW(pread64),
        ALLOW(brk),
        ALLOW(munmap),
        ALLOW(futex),
        ALLOW(getpid),
        ALLOW(getrandom),
        ALLOW(exit_group),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        KILL,
        LOAD(args[2]), /* protection: nothing executable */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        KILL,
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

int enter_sandbox(int *landlock_abi)
{
    *landlock_abi = landlock();
    return seccomp();
}
