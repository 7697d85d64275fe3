#include "verification.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
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

// Sums over rows alone need no tiles.
template <typename T>
void sum_over_rows(const T* x, Look<T>& look, int threads) {
    constexpr std::size_t kRows = 256;  // summed in T
    const std::size_t count = (look.at.factors + 1) * look.at.n, b = look.at.rows;
    const std::size_t parts = useful_threads(threads, b * look.at.n);
    std::vector<double> wide(parts * count), seconds(parts);
    share(parts, b, [&](std::size_t part, std::size_t begin, std::size_t end) {
        const double start = thread_seconds();
        std::vector<T> sums(count);
        LookAt<T> at = look.at;
        at.sums = sums.data();
        for (std::size_t first = begin; first < end; first += kRows) {
            active_kernels().of<T>().sum_rows(x, at, first, std::min(kRows, end - first));
            for (std::size_t j = 0; j < count; ++j) wide[part * count + j] += static_cast<double>(sums[j]);
            std::fill(sums.begin(), sums.end(), T{0});
        }
        seconds[part] = thread_seconds() - start;
    });
    for (std::size_t at = 0; at < wide.size(); ++at) look.sums[at % count] += wide[at];
    for (const double more : seconds) look.seconds += more;
}

}  // namespace

template <typename T>
void look_at(const T* x, Look<T>& look, int threads) {
    if (look.at.dots == nullptr) {
        if (look.sums != nullptr) sum_over_rows(x, look, threads);
        return;
    }
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
    if constexpr (!std::is_same_v<S, A>) {  // where one of both was too large or too small for single precision
        LookAt<double> wide_seen{}, wide_answer{};
        std::vector<double> kept[4];
        const auto widen = [&](const auto& from, LookAt<double>& to, std::size_t at) {
            kept[at].assign(from.dots, from.dots + k * b);
            kept[at + 1].assign(from.squares, from.squares + (from.w + 1) * b);
            to.rows = b;
            to.w = from.w;
            to.dots = kept[at].data();
            to.squares = kept[at + 1].data();
        };
        widen(seen, wide_seen, 0);
        widen(answer, wide_answer, 2);
        return worst_residual(wide_seen, wide_answer, k, variance);
    } else {
        const S* const rounding = squares_of(seen, 0);
        const S* const plain = squares_of(answer, answer.w);
        const double mean = (sum_of(rounding, b) * variance.of_rounding + sum_of(plain, b) * variance.of_answer) /
                            static_cast<double>(std::max<std::size_t>(b, 1));
        if (!std::isfinite(mean)) return std::numeric_limits<double>::infinity();
        return active_kernels().of<S>().worst({seen.dots,
                                               answer.dots,
                                               k,
                                               b,
                                               {rounding, plain, squares_of(seen, seen.w > 1 ? 1 : 0)},
                                               {variance.of_rounding, variance.of_answer,
                                                seen.w > 1 ? variance.of_drift : 0.0},
                                               variance.share * mean});
    }
}

template void look_at(const float*, Look<float>&, int);
template void look_at(const double*, Look<double>&, int);
template double worst_residual(const LookAt<float>&, const LookAt<float>&, std::size_t, const Variance&);
template double worst_residual(const LookAt<float>&, const LookAt<double>&, std::size_t, const Variance&);
template double worst_residual(const LookAt<double>&, const LookAt<float>&, std::size_t, const Variance&);
template double worst_residual(const LookAt<double>&, const LookAt<double>&, std::size_t, const Variance&);

}  // namespace kakuri::blinding
