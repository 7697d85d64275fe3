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

    // W elements, or as many as there are and zeros, in double precision.
    static Vec read(const T* from, std::size_t width) {
        if constexpr (sizeof(T) == sizeof(double)) {
            return width == W ? D::load(from) : D::load(from, width);
        } else {
            using Narrow = Lanes<T, B / 2>;
            return __builtin_convertvector(width == W ? Narrow::load(from) : Narrow::load(from, width), Vec);
        }
    }

    // into[v] += the sum over i of columns[i] factors[v * n + i], for v < count.
    static void gather_sums(const Vec (&columns)[W], const double* factors, std::size_t n, std::size_t width,
                            std::size_t count, Vec* into) {
        for (std::size_t v = 0; v < count; ++v) {
            const double* own = factors + v * n;
            Vec total = into[v];
            if (width == W) {
#pragma GCC unroll 8
                for (std::size_t i = 0; i < W; ++i) total += columns[i] * own[i];
            } else {
                for (std::size_t i = 0; i < width; ++i) total += columns[i] * own[i];
            }
            into[v] = total;
        }
    }

    // How: W rows by W columns at a time are transposed, so that a sum over columns needs no sum across lanes.
    static void row_sums(const T* x, std::size_t n, const double* probes, std::size_t k, const double* weights,
                         std::size_t w, double* dots, double* squares, std::size_t begin, std::size_t end) {
        Vec by_probe[kMostVectors], by_weight[kMostVectors];
        for (std::size_t row = begin; row < end; row += W) {
            const std::size_t rows = end - row < W ? end - row : W;
            for (Vec& total : by_probe) total = Vec{};
            for (Vec& total : by_weight) total = Vec{};
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W];
                for (std::size_t i = 0; i < W; ++i) v[i] = read(x + (row + (i < rows ? i : 0)) * n + j, width);
                D::transpose(v);
                gather_sums(v, probes + j, n, width, k, by_probe);
                Vec sum{};
                for (std::size_t i = 0; i < W; ++i) {
                    v[i] *= v[i];
                    sum += v[i];
                }
                gather_sums(v, weights + j, n, width, w, by_weight);
                by_weight[w] += sum;
            }
            for (std::size_t i = 0; i < rows; ++i) {
                for (std::size_t q = 0; q < k; ++q) dots[(row + i) * k + q] = by_probe[q][i];
                for (std::size_t v = 0; v <= w; ++v) squares[(row + i) * (w + 1) + v] = by_weight[v][i];
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
