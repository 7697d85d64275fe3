// Purpose: what verification needs of the rows of a matrix: products with probes, weighted squares, and sums over rows.
// How: W rows by W columns at a time. As they are read, a vector is W columns of one row, and sums over rows need no sum
//   across lanes; transposed, it is one column of W rows, and neither do sums over columns. A sum of n terms is taken
//   in blocks of W and then over the blocks, so that its rounding error grows like that of W + n / W terms.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct LookKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);

    // The rows of one block and where they go. Lacking rows are read as the first and count for nothing.
    struct Rows {
        const T* from[W];
        std::size_t number[W];
        std::size_t count;
    };

    static Rows rows_of(const T* x, std::size_t n, const std::int32_t* index, std::size_t first, std::size_t count) {
        Rows rows;
        rows.count = count < W ? count : W;
        for (std::size_t i = 0; i < W; ++i) {
            const std::size_t at = first + (i < rows.count ? i : 0);
            rows.number[i] = index == nullptr ? at : static_cast<std::size_t>(index[at]);
            rows.from[i] = x + rows.number[i] * n;
        }
        return rows;
    }

    static Vec sum_of_rows(const Vec (&v)[W], const T* factors) {
        Vec even = v[0] * factors[0], odd = v[1] * factors[1];
#pragma GCC unroll 16
        for (std::size_t i = 2; i < W; i += 2) {
            even += v[i] * factors[i];
            odd += v[i + 1] * factors[i + 1];
        }
        return even + odd;
    }

    // sums[f, j] += sum over the rows of factor f; noise[j] += that of weight times square.
    static void add_columns(const Vec (&v)[W], const LookAt<T>& at, const T* factors, const T* weights, std::size_t j,
                            std::size_t width) {
        const auto add = [width](T* to, Vec sum) {
            if (width == W)
                L::store(to, L::load(to) + sum);
            else
                L::store(to, L::load(to, width) + sum, width);
        };
        for (std::size_t f = 0; f < at.factors.count; ++f) add(at.sums + f * at.n + j, sum_of_rows(v, factors + f * W));
        if (at.noise == nullptr) return;
        Vec sum{};
#pragma GCC unroll 16
        for (std::size_t i = 0; i < W; ++i) sum += v[i] * v[i] * weights[i];
        add(at.noise + j, sum);
    }

    // total += sum over the columns of factor; v: transposed.
    static void add_to(Vec& total, const Vec (&v)[W], const T* factors, std::size_t width) {
        if (width == W) {
            total += sum_of_rows(v, factors);
        } else {
            for (std::size_t i = 0; i < width; ++i) total += v[i] * factors[i];
        }
    }

    // v: transposed; totals: by probe, by weights, plain.
    static void add_rows(Vec (&v)[W], const LookAt<T>& at, std::size_t j, std::size_t width, Vec* totals) {
        for (std::size_t q = 0; q < at.k; ++q) add_to(totals[q], v, at.probes + q * at.n + j, width);
        Vec plain{};
#pragma GCC unroll 16
        for (std::size_t i = 0; i < W; ++i) {
            v[i] *= v[i];
            plain += v[i];
        }
        for (std::size_t q = 0; q < at.w; ++q) add_to(totals[at.k + q], v, at.weights + q * at.n + j, width);
        totals[at.k + at.w] += plain;
    }

    static void look(const T* x, const LookAt<T>& at, const std::int32_t* index, std::size_t first,
                     std::size_t count) {
        const bool columns = at.factors.count > 0 || at.noise != nullptr, rows_too = at.dots != nullptr;
        for (std::size_t done = 0; done < count; done += W) {
            const Rows rows = rows_of(x, at.n, index, first + done, count - done);
            T factors[kMostVectors * W], weights[W];
            for (std::size_t i = 0; i < W; ++i) {
                const bool counts = i < rows.count;
                for (std::size_t f = 0; f < at.factors.count; ++f)
                    factors[f * W + i] = counts ? at.factors.data[rows.number[i] * at.factors.stride + f] : T{0};
                weights[i] = counts && at.noise != nullptr ? at.row_weights[rows.number[i]] : T{0};
            }
            Vec totals[kMostVectors + kMostWeights + 1];
            for (std::size_t q = 0; q <= at.k + at.w; ++q) totals[q] = Vec{};
            for (std::size_t j = 0; j < at.n; j += W) {
                const std::size_t width = at.n - j < W ? at.n - j : W;
                Vec v[W];
                for (std::size_t i = 0; i < W; ++i) {
                    __builtin_prefetch(rows.from[i] + j + 2 * W);
                    v[i] = width == W ? L::load(rows.from[i] + j) : L::load(rows.from[i] + j, width);
                }
                if (columns) add_columns(v, at, factors, weights, j, width);
                if (!rows_too) continue;
                L::transpose(v);
                add_rows(v, at, j, width, totals);
            }
            if (!rows_too) continue;
            for (std::size_t i = 0; i < rows.count; ++i) {
                for (std::size_t q = 0; q < at.k; ++q) at.dots[rows.number[i] * at.k + q] = totals[q][i];
                for (std::size_t s = 0; s <= at.w; ++s)
                    at.squares[rows.number[i] * (at.w + 1) + s] = totals[at.k + s][i];
            }
        }
    }
};

}  // namespace kakuri::blinding
