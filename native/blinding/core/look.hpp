// Purpose: what verification takes from a matrix while blinding has its rows in the cache.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <vector>

#include "dispatch.hpp"

namespace kakuri::blinding {

inline constexpr std::size_t kLookElements = std::size_t{1} << 16;  // passed over at a time: a quarter of a usual L2

// Processor time of the calling thread.
inline double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// One look at the rows of x, by several threads that share them. Does nothing without `look`.
template <typename T>
class Looker {
public:
    Looker(Look<T>* look, const T* x, std::size_t parts) : look_(look), x_(x) {
        if (look == nullptr) return;
        seconds_.assign(parts, 0.0);
        own_ = look->at.factors.count * look->at.n + (look->at.row_weights != nullptr ? look->at.n : 0);
        sums_.assign(parts * own_, T{0});
    }

    // How many tiles of `rows` rows and n columns are passed over at a time; all when nobody looks.
    std::size_t group(std::size_t rows, std::size_t n, std::size_t all) const {
        return look_ == nullptr ? all : std::max<std::size_t>(1, kLookElements / std::max<std::size_t>(1, rows * n));
    }

    // Looks at `count` rows: those in index, or from `first` on when index is null.
    void rows(std::size_t part, const std::int32_t* index, std::size_t first, std::size_t count) {
        if (look_ == nullptr || count == 0) return;
        const double start = thread_seconds();
        LookAt<T> at = look_->at;
        at.sums = sums_.data() + part * own_;
        at.noise = at.row_weights == nullptr ? nullptr : at.sums + at.factors.count * at.n;
        active_kernels().of<T>().look(x_, at, index, first, count);
        seconds_[part] += thread_seconds() - start;
    }

    // After all threads.
    void finish() {
        if (look_ == nullptr) return;
        const LookAt<T>& at = look_->at;
        for (std::size_t part = 0; part < seconds_.size(); ++part) {
            look_->seconds += seconds_[part];
            const T* from = sums_.data() + part * own_;
            for (std::size_t i = 0; i < at.factors.count * at.n; ++i) at.sums[i] += from[i];
            if (at.row_weights != nullptr)
                for (std::size_t j = 0; j < at.n; ++j) at.noise[j] += from[at.factors.count * at.n + j];
        }
    }

private:
    Look<T>* look_;
    const T* x_;
    std::size_t own_ = 0;
    std::vector<double> seconds_;
    std::vector<T> sums_;
};

}  // namespace kakuri::blinding
