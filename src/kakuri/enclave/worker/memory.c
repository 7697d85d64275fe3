/* Secret memory.

   Guarantees: memfd_secret pages are absent from the kernel's direct map, from swap, dumps, /proc/PID/mem and
   process_vm_readv, root included. Where the kernel has no memfd_secret or RLIMIT_MEMLOCK is too low for it: locked,
   dump-excluded pages; only when the caller allowed it, dump-excluded pages that may be swapped.
   Does not guarantee: anything about registers, the stack, or the caches of the processor. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker.h"

static void *map_secret(size_t bytes)
{
#ifdef SYS_memfd_secret
    int file = (int)syscall(SYS_memfd_secret, 0x80000u /* O_CLOEXEC */);
    if (file < 0)
        return MAP_FAILED;
    void *at = MAP_FAILED;
    if (ftruncate(file, (off_t)bytes) == 0)
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    close(file);
    return at;
#else
    (void)bytes;
    return MAP_FAILED;
#endif
}

struct secret *secret_memory(int allow_swappable, enum memory_kind *kind)
{
    size_t bytes = (sizeof(struct secret) + 4095) / 4096 * 4096;
    void *at = map_secret(bytes);
    *kind = MEMORY_SECRET;
    if (at == MAP_FAILED) {
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED || madvise(at, bytes, MADV_DONTDUMP) || madvise(at, bytes, MADV_DONTFORK))
            return NULL;
        *kind = mlock(at, bytes) == 0 ? MEMORY_LOCKED : MEMORY_SWAPPABLE;
        if (*kind == MEMORY_SWAPPABLE && !allow_swappable)
            return NULL;
    }
    return at;
}

void wipe(void *from, size_t bytes)
{
    explicit_bzero(from, bytes);
}
