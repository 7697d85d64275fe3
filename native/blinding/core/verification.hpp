// Purpose: the passes over matrices that Freivalds' check and its tolerance need.
// Guarantees: sums are taken in double precision.
#pragma once

#include <cstddef>

namespace kakuri::blinding {

// x (b, n), probes (k, n), weights (w, n) -> dots (b, k), squares (b, w + 1), as ElementKernels::row_sums.
template <typename T>
void row_sums(const T* x, std::size_t b, std::size_t n, const double* probes, std::size_t k, const double* weights,
              std::size_t w, double* dots, double* squares, int threads);

// x (b, n), factors (b, k), weights (b,) -> sums (k, n), squares (n,), as ElementKernels::column_sums.
template <typename T>
void column_sums(const T* x, std::size_t b, std::size_t n, const double* factors, std::size_t k, const double* weights,
                 double* sums, double* squares, int threads);

// The largest squared residual over its variance: residual_iq = sum_j y_ij probes[q, j] - expected[i, q], variance_i =
// base[i] + scale * (|y_i|^2 + share * mean of |y|^2). Infinite when anything is not a number.
template <typename T>
double worst_residual(const T* y, std::size_t b, std::size_t m, const double* probes, std::size_t k,
                      const double* expected, const double* base, double scale, double share, int threads);

}  // namespace kakuri::blinding
