#include "verification.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "look.hpp"
#include "sharing.hpp"

namespace kakuri::blinding {

namespace {

// Squares of the look's rows with its weights v.
template <typename T>
const T* squares_of(const LookAt<T>& look, std::size_t v) {
    return look.squares + v * look.rows;
}

}  // namespace

template <typename T>
void look_at(const T* x, Look<T>& look, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t b = look.at.rows, n = look.at.n, tile = kernels.tile, parts = useful_threads(threads, b * n);
    Looker<T> looker(&look, parts);
    share(parts, (b + tile - 1) / tile, [&](std::size_t part, std::size_t begin, std::size_t end) {
        looker.begin(part);
        const std::size_t step = looker.group(tile, n);
        std::vector<T> tiles(step * tile * n + 64 / sizeof(T));
        T* const aligned = tiles.data() + (64 - reinterpret_cast<std::uintptr_t>(tiles.data()) % 64) % 64 / sizeof(T);
        for (std::size_t at = begin; at < end; at += step) {
            const std::size_t stop = std::min(at + step, end);
            kernels.reorder_in(x, {b, nullptr, nullptr}, n, false, aligned, at, stop);
            looker.tiles(part, aligned, nullptr, nullptr, at * tile, std::min(stop * tile, b) - at * tile);
        }
        looker.end(part);
    });
    looker.finish();
}

template <typename S, typename A>
double worst_residual(const LookAt<S>& seen, const LookAt<A>& answer, std::size_t k, const Variance& variance) {
    const std::size_t b = seen.rows;
    const S* const rounding = squares_of(seen, 0);
    const S* const drift = squares_of(seen, seen.w > 1 ? 1 : 0);
    const A* const plain = squares_of(answer, answer.w);
    const double of_drift = seen.w > 1 ? variance.of_drift : 0.0;
    const double mean = (sum_of(rounding, b) * variance.of_rounding + sum_of(plain, b) * variance.of_answer) /
                        static_cast<double>(std::max<std::size_t>(b, 1));
    double worst = 0.0;
    bool finite = std::isfinite(mean);
    for (std::size_t i = 0; i < b; ++i) {
        double residual = 0.0;
        for (std::size_t q = 0; q < k; ++q) {
            const double difference =
                static_cast<double>(answer.dots[q * b + i]) - static_cast<double>(seen.dots[q * b + i]);
            residual = std::max(residual, difference * difference);
            finite &= difference * 0.0 == 0.0;
        }
        const double whole = static_cast<double>(rounding[i]) * variance.of_rounding +
                             static_cast<double>(plain[i]) * variance.of_answer + variance.share * mean +
                             static_cast<double>(drift[i]) * of_drift;
        finite &= whole * 0.0 == 0.0;
        if (residual > worst * whole) worst = residual / whole;
    }
    return finite ? worst : std::numeric_limits<double>::infinity();
}

template void look_at(const float*, Look<float>&, int);
template void look_at(const double*, Look<double>&, int);
template double worst_residual(const LookAt<float>&, const LookAt<float>&, std::size_t, const Variance&);
template double worst_residual(const LookAt<float>&, const LookAt<double>&, std::size_t, const Variance&);
template double worst_residual(const LookAt<double>&, const LookAt<float>&, std::size_t, const Variance&);
template double worst_residual(const LookAt<double>&, const LookAt<double>&, std::size_t, const Variance&);

}  // namespace kakuri::blinding
