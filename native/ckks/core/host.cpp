#include "host.hpp"

#include <errno.h>
#include <sys/random.h>

#include "error.hpp"

namespace kakuri::ckks {

Seed operating_system_seed() {
    Seed seed;
    std::size_t filled = 0;
    while (filled < seed.size()) {
        const ssize_t got = ::getrandom(seed.data() + filled, seed.size() - filled, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) throw Error({"KK-N14", "the operating system gave no randomness", "getrandom", "", "", ""});
        filled += static_cast<std::size_t>(got);
    }
    return seed;
}

}  // namespace kakuri::ckks
