// Purpose: what verification takes from a matrix while blinding has its rows in the cache.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <vector>

#include "dispatch.hpp"
#include "verification.hpp"

namespace kakuri::blinding {

inline constexpr std::size_t kLookElements = std::size_t{1} << 12;  // at a time: half of a usual first-level cache
inline constexpr std::size_t kTimed = 8;
inline constexpr std::size_t kSingleTiles = 32;  // summed over rows in T; then in double precision

// Processor time of the calling thread.
inline double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// One look at the tiles of a matrix, by several threads that share them. Does nothing without `look`. The clock of a thread's
// own processor time is too slow for single tiles: these are timed by the wall's, one in kTimed after the first ones, and the
// sum is scaled by the share of the whole call that the thread was running.
template <typename T>
class Looker {
public:
    Looker(Look<T>* look, std::size_t parts) : look_(look) {
        if (look == nullptr) return;
        parts_.resize(parts);
        if (look->sums == nullptr) return;
        wide_.assign(parts * (look->at.factors + 1) * look->at.n, 0.0);
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
        Part& own = parts_[part];
        const bool timed = own.calls < kTimed || own.calls % kTimed == 0;
        const double start = timed ? wall_seconds() : 0.0;
        LookAt<T> at = look_->at;
        if (vectors != nullptr) {
            at.probes = vectors;
            at.weights = vectors + at.k * at.n;
        }
        if (own_ > 0) at.sums = sums() + part * own_;
        active_kernels().of<T>().look(tiles, at, index, first, count);
        if (own_ > 0) {
            own.rows += count;
            if (own.rows >= kSingleTiles * active_kernels().of<T>().tile) widen(part);
        }
        if (timed) own.looking += (wall_seconds() - start) * (own.calls < kTimed ? 1.0 : static_cast<double>(kTimed));
        ++own.calls;
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
        const double start = thread_seconds();
        if (look_->at.squares != nullptr)
            look_->total = sum_of(look_->at.squares + look_->at.w * look_->at.rows, look_->at.rows);
        const std::size_t count = wide_.size() / parts_.size();
        for (std::size_t part = 0; own_ > 0 && part < parts_.size(); ++part) {
            widen(part);
            for (std::size_t j = 0; j < count; ++j) look_->sums[j] += wide_[part * count + j];
        }
        look_->seconds += thread_seconds() - start;
    }

private:
    struct Part {
        double cpu = 0.0, wall = 0.0, looking = 0.0;
        std::size_t rows = 0;  // in its sums
        std::size_t calls = 0;
    };
    struct alignas(64) Line {
        T values[64 / sizeof(T)];
    };
    T* sums() { return lines_.front().values; }
    // Sums of many equal terms, as of a picture's background, err by the same amount again and again: few in T.
    void widen(std::size_t part) {
        const std::size_t width = active_kernels().of<T>().tile, count = own_ / width;
        T* const from = sums() + part * own_;
        for (std::size_t j = 0; j < count; ++j) wide_[part * count + j] += sum_of(from + j * width, width);
        std::fill_n(from, own_, T{0});
        parts_[part].rows = 0;
    }
    static double wall_seconds() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    Look<T>* look_;
    std::size_t own_ = 0;
    std::vector<Part> parts_;
    std::vector<Line> lines_;  // by part, sum and lane
    std::vector<double> wide_;  // by part and sum
};

}  // namespace kakuri::blinding
