// Purpose: small checks shared by the kernel's entry points, with one wording each.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

#include "error.hpp"

namespace kakuri::ckks {

inline constexpr int kMinLogN = 4;
inline constexpr int kMaxLogN = 16;

inline constexpr int kMaxThreads = 1024;

inline std::string text(double value) {
    char out[32];
    std::snprintf(out, sizeof out, "%.6g", value);
    return out;
}

inline void check_log_n(int log_n) {
    if (log_n < kMinLogN || log_n > kMaxLogN)
        throw Error({"KK-N01", "ring size is not supported", "log_n", std::to_string(log_n), "4 to 16", ""});
}

inline int checked_threads(int threads) {
    if (threads < 1 || threads > kMaxThreads)
        throw Error({"KK-N16", "thread count is out of range", "threads", std::to_string(threads), "1 to 1024", ""});
    return threads;
}

inline void check_level(int level, int max_level, const char* where) {
    if (level < 0 || level > max_level)
        throw Error({"KK-N05", "level does not exist in these parameters", where, std::to_string(level),
                     "0 to " + std::to_string(max_level),
                     "levels are used up by rescale; add moduli for a deeper circuit"});
}

// Scales are finite, positive and leave at least the sign bit of the modulus free.
inline void check_scale(double scale, double log_modulus, const char* where) {
    if (!std::isfinite(scale) || scale <= 0.0)
        throw Error({"KK-N07", "scale is not a finite positive number", where, text(scale), "", ""});
    if (std::log2(scale) >= log_modulus)
        throw Error({"KK-N07", "scale does not fit below the modulus of this level", where,
                     "2^" + text(std::log2(scale)), "2^" + text(log_modulus),
                     "rescale earlier, or use a smaller scale"});
}

}  // namespace kakuri::ckks
