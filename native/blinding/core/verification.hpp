// Purpose: the passes over matrices that Freivalds' check and its tolerance need, when they do not ride on blinding.
#pragma once

#include <cstddef>

#include "kernels.hpp"

namespace kakuri::blinding {

// Looks at all rows of x as they are.
template <typename T>
void look_at(const T* x, Look<T>& look, int threads);

// In eight sums side by side, which do not wait for each other.
template <typename T>
double sum_of(const T* values, std::size_t count) {
    double sums[8] = {};
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (std::size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(values[i + j]);
    for (; i < count; ++i) sums[0] += static_cast<double>(values[i]);
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// What variances are made of: factors of the operand's first and second weighted squares and of the answer's plain ones.
struct Variance {
    double of_rounding;
    double of_drift;
    double of_answer;
    double share;
};

// The largest squared difference of the first k dots of looks at X (b, n) and Y (b, m) over its variance, w_i + share *
// mean(w) + drift_i: w_i sums the squares of rounding and answer, drift_i those of drift, if there are two weights.
// Infinite when anything is not a number.
template <typename S, typename A>
double worst_residual(const LookAt<S>& seen, const LookAt<A>& answer, std::size_t k, const Variance& variance);

}  // namespace kakuri::blinding
