// Purpose: what verification needs of a matrix in one pass over it: products with probe vectors and weighted squares, in
//   double precision whatever the elements are.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct ProbeKernels {
    using D = Lanes<double, B>;
    using Vec = typename D::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(D::W);
    static constexpr std::size_t kRows = 4;
    static constexpr std::size_t kChunk = 256;

    static double sum(Vec v) {
        double total = 0.0;
        for (std::size_t i = 0; i < W; ++i) total += v[i];
        return total;
    }

    // wide[r][c] = x[r, from + c]; rows that are not there, and what is missing to a whole vector, are zero.
    static void widen(const T* x, std::size_t n, std::size_t rows, std::size_t from, std::size_t width,
                      double (&wide)[kRows][kChunk]) {
        for (std::size_t r = 0; r < kRows; ++r) {
            const T* p = x + r * n + from;
            double* to = wide[r];
            if (r < rows)
                for (std::size_t c = 0; c < width; ++c) to[c] = static_cast<double>(p[c]);
            else
                for (std::size_t c = 0; c < width; ++c) to[c] = 0.0;
        }
    }

    // Adds to into[r * stride] the sum over c of a[r][c] b[c].
    static void dot(const double (&a)[kRows][kChunk], const double* b, std::size_t width, std::size_t rows,
                    double* into, std::size_t stride) {
        Vec total[kRows] = {};
        std::size_t c = 0;
        for (; c + W <= width; c += W) {
            const Vec factor = D::load(b + c);
#pragma GCC unroll 4
            for (std::size_t r = 0; r < kRows; ++r) total[r] += D::load(a[r] + c) * factor;
        }
        for (std::size_t r = 0; r < rows; ++r) {
            double rest = sum(total[r]);
            for (std::size_t i = c; i < width; ++i) rest += a[r][i] * b[i];
            into[r * stride] += rest;
        }
    }

    static void row_sums(const T* x, std::size_t n, const double* probes, std::size_t k, const double* weights,
                         std::size_t w, double* dots, double* squares, std::size_t begin, std::size_t end) {
        alignas(64) double wide[kRows][kChunk];
        alignas(64) double ones[kChunk];
        for (double& one : ones) one = 1.0;
        for (std::size_t i = begin; i < end; i += kRows) {
            const std::size_t rows = end - i < kRows ? end - i : kRows;
            for (std::size_t q = 0; q < rows * k; ++q) dots[i * k + q] = 0.0;
            for (std::size_t v = 0; v < rows * (w + 1); ++v) squares[i * (w + 1) + v] = 0.0;
            for (std::size_t from = 0; from < n; from += kChunk) {
                const std::size_t width = n - from < kChunk ? n - from : kChunk;
                widen(x + i * n, n, rows, from, width, wide);
                for (std::size_t q = 0; q < k; ++q) dot(wide, probes + q * n + from, width, rows, dots + i * k + q, k);
                for (std::size_t r = 0; r < rows; ++r)
                    for (std::size_t c = 0; c < width; ++c) wide[r][c] *= wide[r][c];
                for (std::size_t v = 0; v <= w; ++v)
                    dot(wide, v < w ? weights + v * n + from : ones, width, rows, squares + i * (w + 1) + v, w + 1);
            }
        }
    }

    static void column_sums(const T* x, std::size_t n, const double* factors, std::size_t k, const double* weights,
                            double* sums, double* squares, std::size_t begin, std::size_t end) {
        alignas(64) double wide[kRows][kChunk];
        for (std::size_t from = 0; from < n; from += kChunk) {
            const std::size_t width = n - from < kChunk ? n - from : kChunk;
            for (std::size_t i = begin; i < end; i += kRows) {
                const std::size_t rows = end - i < kRows ? end - i : kRows;
                widen(x + i * n, n, rows, from, width, wide);
                for (std::size_t q = 0; q < k; ++q) {
                    double f[kRows] = {};
                    for (std::size_t r = 0; r < rows; ++r) f[r] = factors[(i + r) * k + q];
                    double* __restrict__ to = sums + q * n + from;
                    for (std::size_t c = 0; c < width; ++c)
                        to[c] += (f[0] * wide[0][c] + f[1] * wide[1][c]) + (f[2] * wide[2][c] + f[3] * wide[3][c]);
                }
                double f[kRows] = {};
                for (std::size_t r = 0; r < rows; ++r) f[r] = weights[i + r];
                double* __restrict__ to = squares + from;
                for (std::size_t c = 0; c < width; ++c)
                    to[c] += (f[0] * wide[0][c] * wide[0][c] + f[1] * wide[1][c] * wide[1][c]) +
                             (f[2] * wide[2][c] * wide[2][c] + f[3] * wide[3][c] * wide[3][c]);
            }
        }
    }
};

}  // namespace kakuri::blinding
