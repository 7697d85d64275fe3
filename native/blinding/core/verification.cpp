#include "verification.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dispatch.hpp"
#include "sharing.hpp"

namespace kakuri::blinding {

template <typename T>
void row_sums(const T* x, std::size_t b, std::size_t n, const double* probes, std::size_t k, const double* weights,
              std::size_t w, double* dots, double* squares, int threads) {
    const auto& kernels = active_kernels().of<T>();
    kakuri::blinding::share(useful_threads(threads, b * n), b, [&](std::size_t, std::size_t begin, std::size_t end) {
        kernels.row_sums(x, n, probes, k, weights, w, dots, squares, begin, end);
    });
}

template <typename T>
void column_sums(const T* x, std::size_t b, std::size_t n, const double* factors, std::size_t k, const double* weights,
                 double* sums, double* squares, int threads) {
    const auto& kernels = active_kernels().of<T>();
    const std::size_t parts = useful_threads(threads, b * n), own = (k + 1) * n;
    std::vector<double> partial(parts * own, 0.0);
    share(parts, b, [&](std::size_t part, std::size_t begin, std::size_t end) {
        double* to = partial.data() + part * own;
        kernels.column_sums(x, n, factors, k, weights, to, to + k * n, begin, end);
    });
    for (std::size_t part = 1; part < parts; ++part)
        for (std::size_t i = 0; i < own; ++i) partial[i] += partial[part * own + i];
    const auto middle = partial.begin() + static_cast<std::ptrdiff_t>(k * n);
    std::copy(partial.begin(), middle, sums);
    std::copy(middle, middle + static_cast<std::ptrdiff_t>(n), squares);
}

template <typename T>
double worst_residual(const T* y, std::size_t b, std::size_t m, const double* probes, std::size_t k,
                      const double* expected, const double* base, double scale, double share, int threads) {
    std::vector<double> dots(b * k), squares(b);
    row_sums(y, b, m, probes, k, nullptr, 0, dots.data(), squares.data(), threads);
    double mean = 0.0;
    if (share > 0.0) {
        for (const double square : squares) mean += square;
        mean /= static_cast<double>(std::max<std::size_t>(b, 1));
    }
    double worst = 0.0;
    for (std::size_t i = 0; i < b; ++i) {
        const double variance = base[i] + scale * (squares[i] + share * mean);
        for (std::size_t q = 0; q < k; ++q) {
            const double residual = dots[i * k + q] - expected[i * k + q];
            const double ratio = residual == 0.0 && variance == 0.0 ? 0.0 : residual * residual / variance;
            if (!std::isfinite(ratio) || !std::isfinite(variance)) return std::numeric_limits<double>::infinity();
            worst = std::max(worst, ratio);
        }
    }
    return worst;
}

template void row_sums(const float*, std::size_t, std::size_t, const double*, std::size_t, const double*, std::size_t,
                       double*, double*, int);
template void row_sums(const double*, std::size_t, std::size_t, const double*, std::size_t, const double*, std::size_t,
                       double*, double*, int);
template void column_sums(const float*, std::size_t, std::size_t, const double*, std::size_t, const double*, double*,
                          double*, int);
template void column_sums(const double*, std::size_t, std::size_t, const double*, std::size_t, const double*, double*,
                          double*, int);
template double worst_residual(const float*, std::size_t, std::size_t, const double*, std::size_t, const double*,
                               const double*, double, double, int);
template double worst_residual(const double*, std::size_t, std::size_t, const double*, std::size_t, const double*,
                               const double*, double, double, int);

}  // namespace kakuri::blinding
