// Purpose: split the tiles of one call among threads.
#pragma once

#include <algorithm>
#include <functional>

#include "threads.hpp"

namespace kakuri::blinding {

inline constexpr std::size_t kElementsPerThread = std::size_t{1} << 16;  // below, starting a thread costs more

// How many threads are worth it.
inline std::size_t useful_threads(int threads, std::size_t elements) {
    const std::size_t most = std::max<std::size_t>(1, elements / kElementsPerThread);
    return std::min(most, static_cast<std::size_t>(std::max(threads, 1)));
}

// task(part, begin, end): `parts` nearly equal ranges of [0, tiles), each on a thread.
inline void share(std::size_t parts, std::size_t tiles,
                  const std::function<void(std::size_t, std::size_t, std::size_t)>& task) {
    ckks::ThreadPool pool(static_cast<int>(parts));
    pool.run(parts, [&](std::size_t part, std::size_t) {
        task(part, tiles * part / parts, tiles * (part + 1) / parts);
    });
}

}  // namespace kakuri::blinding
