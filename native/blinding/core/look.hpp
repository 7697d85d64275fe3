// Purpose: what verification takes from a matrix while blinding has its rows in the cache.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <vector>

#include "dispatch.hpp"

namespace kakuri::blinding {

inline constexpr std::size_t kLookElements = std::size_t{1} << 12;  // at a time: half of a usual first-level cache

// Processor time of the calling thread.
inline double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// One look at the tiles of a matrix, by several threads that share them. Does nothing without `look`. The clock of a thread's
// own processor time is too slow for single tiles: these are timed by the wall's, and the sum is scaled by the share of the
// whole call that the thread was running.
template <typename T>
class Looker {
public:
    Looker(Look<T>* look, std::size_t parts) : look_(look) {
        if (look == nullptr) return;
        parts_.resize(parts);
        if (look->at.sums == nullptr) return;
        own_ = (look->at.factors + 1) * look->at.n * active_kernels().of<T>().tile;
        lines_.assign((parts * own_ * sizeof(T) + sizeof(Line) - 1) / sizeof(Line), Line{});
    }

    // How many tiles of `rows` rows and n columns are made before they are looked at.
    static std::size_t group(std::size_t rows, std::size_t n) {
        return std::max<std::size_t>(1, kLookElements / std::max<std::size_t>(1, rows * n));
    }

    void begin(std::size_t part) {
        if (look_ == nullptr) return;
        parts_[part].cpu = -thread_seconds();
        parts_[part].wall = -wall_seconds();
    }

    // Looks at `count` rows in tiles: those in index, or from `first` on when index is null. vectors: other probes and
    // weights than the look's, or null.
    void tiles(std::size_t part, const T* tiles, const T* vectors, const std::int32_t* index, std::size_t first,
               std::size_t count) {
        if (look_ == nullptr) return;
        const double start = wall_seconds();
        LookAt<T> at = look_->at;
        if (vectors != nullptr) {
            at.probes = vectors;
            at.weights = vectors + at.k * at.n;
        }
        if (at.sums != nullptr) at.sums = sums() + part * own_;
        active_kernels().of<T>().look(tiles, at, index, first, count);
        parts_[part].looking += wall_seconds() - start;
    }

    void end(std::size_t part) {
        if (look_ == nullptr) return;
        parts_[part].cpu += thread_seconds();
        parts_[part].wall += wall_seconds();
    }

    // After all threads.
    void finish() {
        if (look_ == nullptr) return;
        for (const Part& part : parts_)
            if (part.wall > 0.0) look_->seconds += part.looking * std::min(1.0, part.cpu / part.wall);
        if (lines_.empty()) return;
        const double start = thread_seconds();
        const std::size_t width = active_kernels().of<T>().tile, count = own_ / width;
        for (std::size_t at = 0; at < parts_.size() * own_; at += width) {
            T sum{0};
            for (std::size_t lane = 0; lane < width; ++lane) sum += sums()[at + lane];
            look_->at.sums[at / width % count] += sum;
        }
        look_->seconds += thread_seconds() - start;
    }

private:
    struct Part {
        double cpu = 0.0, wall = 0.0, looking = 0.0;
    };
    struct alignas(64) Line {
        T values[64 / sizeof(T)];
    };
    T* sums() { return lines_.front().values; }
    static double wall_seconds() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    Look<T>* look_;
    std::size_t own_ = 0;
    std::vector<Part> parts_;
    std::vector<Line> lines_;  // by part, sum and lane
};

}  // namespace kakuri::blinding
