#include "verification.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "look.hpp"
#include "sharing.hpp"

namespace kakuri::blinding {

template <typename T>
void look_at(const T* x, std::size_t b, Look<T>& look, int threads) {
    const std::size_t parts = useful_threads(threads, b * look.at.n);
    Looker<T> looker(&look, x, parts);
    share(parts, b, [&](std::size_t part, std::size_t begin, std::size_t end) {
        looker.rows(part, nullptr, begin, end - begin);
    });
    looker.finish();
}

template <typename S, typename A>
double worst_residual(const LookAt<S>& seen, const LookAt<A>& answer, std::size_t b, std::size_t k,
                      const Variance& variance) {
    const auto square = [](const auto& look, std::size_t i, std::size_t v) {
        return static_cast<double>(look.squares[i * (look.w + 1) + v]);
    };
    const auto shared = [&](std::size_t i) {
        return square(seen, i, 0) * variance.of_rounding + square(answer, i, answer.w) * variance.of_answer;
    };
    double mean = 0.0;
    for (std::size_t i = 0; i < b; ++i) mean += shared(i);
    mean /= static_cast<double>(std::max<std::size_t>(b, 1));
    double worst = 0.0;
    for (std::size_t i = 0; i < b; ++i) {
        const double drift = seen.w > 1 ? square(seen, i, 1) * variance.of_drift : 0.0;
        const double whole = shared(i) + variance.share * mean + drift;
        for (std::size_t q = 0; q < k; ++q) {
            const double residual = static_cast<double>(answer.dots[i * answer.k + q]) -
                                    static_cast<double>(seen.dots[i * seen.k + q]);
            const double ratio = residual == 0.0 && whole == 0.0 ? 0.0 : residual * residual / whole;
            if (!std::isfinite(ratio) || !std::isfinite(whole)) return std::numeric_limits<double>::infinity();
            worst = std::max(worst, ratio);
        }
    }
    return worst;
}

template void look_at(const float*, std::size_t, Look<float>&, int);
template void look_at(const double*, std::size_t, Look<double>&, int);
template double worst_residual(const LookAt<float>&, const LookAt<float>&, std::size_t, std::size_t, const Variance&);
template double worst_residual(const LookAt<float>&, const LookAt<double>&, std::size_t, std::size_t, const Variance&);
template double worst_residual(const LookAt<double>&, const LookAt<float>&, std::size_t, std::size_t, const Variance&);
template double worst_residual(const LookAt<double>&, const LookAt<double>&, std::size_t, std::size_t, const Variance&);

}  // namespace kakuri::blinding
