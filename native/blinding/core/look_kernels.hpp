// Purpose: what verification needs of the rows of a matrix: products with probes, weighted squares, and sums over rows.
// How: blinding has W rows at a time as a tile of n vectors, one per column; lane i is row i. Sums over columns need no sum
//   across lanes, and sums over rows are summed across lanes once, at the end. A sum over columns runs in four chains, so
//   that its rounding error grows like that of 8 + n / 4 terms; one over rows in W, per tile. Where nothing but sums over
//   rows is asked, nothing is transposed: kSummed rows are summed in registers at a time.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct LookKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);
    static constexpr std::size_t kChains = 4;
    static constexpr std::size_t kSummed = 32;

    template <std::size_t Count>
    static void add_chains(Vec (&chain)[Count][kChains], Vec* total) {
        for (std::size_t q = 0; q < Count; ++q)
            total[q] = (chain[q][0] + chain[q][1]) + (chain[q][2] + chain[q][3]);
    }

    // total[q] = sum over the columns of tile times probes[q].
    template <std::size_t Count>
    static void dots(const T* tile, std::size_t n, const T* probes, Vec* total) {
        Vec chain[Count][kChains] = {};
        std::size_t j = 0;
        for (; j + kChains <= n; j += kChains)
#pragma GCC unroll 4
            for (std::size_t c = 0; c < kChains; ++c) {
                const Vec v = L::load(tile + (j + c) * W);
#pragma GCC unroll 4
                for (std::size_t q = 0; q < Count; ++q) chain[q][c] += v * probes[q * n + j + c];
            }
        for (; j < n; ++j)
            for (std::size_t q = 0; q < Count; ++q) chain[q][0] += L::load(tile + j * W) * probes[q * n + j];
        add_chains(chain, total);
    }

    // total[s] = sum over the columns of squares times weights[s], and behind them without weights.
    template <std::size_t Count>
    static void squares(const T* tile, std::size_t n, const T* weights, Vec* total) {
        Vec chain[Count + 1][kChains] = {};
        const auto add = [&](std::size_t j, std::size_t c) {
            const Vec v = L::load(tile + j * W), square = v * v;
#pragma GCC unroll 2
            for (std::size_t s = 0; s < Count; ++s) chain[s][c] += square * weights[s * n + j];
            chain[Count][c] += square;
        };
        std::size_t j = 0;
        for (; j + kChains <= n; j += kChains)
#pragma GCC unroll 4
            for (std::size_t c = 0; c < kChains; ++c) add(j + c, c);
        for (; j < n; ++j) add(j, 0);
        add_chains(chain, total);
    }

    // The first `count` lanes go to the rows in index, or from `first` on when index is null.
    static void put(T* to, Vec lanes, const std::int32_t* index, std::size_t first, std::size_t count) {
        if (index == nullptr) {
            L::store(to + first, lanes, count);
        } else {
            for (std::size_t i = 0; i < count; ++i) to[index[first + i]] = lanes[i];
        }
    }

    static void look_along_rows(const T* tile, const LookAt<T>& at, const std::int32_t* index, std::size_t first,
                                std::size_t count) {
        Vec total[kMostWeights + 1 < 4 ? 4 : kMostWeights + 1];
        for (std::size_t q = 0; q < at.k;) {
            const std::size_t left = at.k - q, here = left < 4 ? left : 4;
            const T* const probes = at.probes + q * at.n;
            switch (here) {
                case 4: dots<4>(tile, at.n, probes, total); break;
                case 3: dots<3>(tile, at.n, probes, total); break;
                case 2: dots<2>(tile, at.n, probes, total); break;
                default: dots<1>(tile, at.n, probes, total);
            }
            for (std::size_t i = 0; i < here; ++i, ++q) put(at.dots + q * at.rows, total[i], index, first, count);
        }
        switch (at.w) {
            case 0: squares<0>(tile, at.n, at.weights, total); break;
            case 1: squares<1>(tile, at.n, at.weights, total); break;
            default: squares<2>(tile, at.n, at.weights, total);
        }
        for (std::size_t s = 0; s <= at.w; ++s) put(at.squares + s * at.rows, total[s], index, first, count);
    }

    // sums[f, j, lane] += tile times factor f; noise[j, lane] += its square times weight.
    static void add_columns(const T* tile, const LookAt<T>& at, std::size_t first, std::size_t count) {
        for (std::size_t f = 0; f < at.factors; ++f) {
            const Vec factor = L::load(at.factor + f * at.rows + first, count);
            T* const sums = at.sums + f * at.n * W;
            for (std::size_t j = 0; j < at.n * W; j += W) L::store(sums + j, L::load(sums + j) + L::load(tile + j) * factor);
        }
        const Vec weight = L::load(at.row_weights + first, count);
        T* const noise = at.sums + at.factors * at.n * W;
        for (std::size_t j = 0; j < at.n * W; j += W) {
            const Vec v = L::load(tile + j);
            L::store(noise + j, L::load(noise + j) + v * v * weight);
        }
    }

    // Columns [j, j + width) with Count factors from f on; the squares' sums too with the first ones.
    template <std::size_t Count>
    static void sum_some(const T* x, const LookAt<T>& at, std::size_t f, std::size_t first, std::size_t rows,
                         std::size_t j, std::size_t width) {
        Vec sum[Count] = {}, spread{};
        for (std::size_t i = first; i < first + rows; ++i) {
            const Vec v = L::load(x + i * at.n + j, width);
#pragma GCC unroll 4
            for (std::size_t q = 0; q < Count; ++q) sum[q] += v * at.factor[(f + q) * at.rows + i];
            spread += v * v * at.row_weights[i];
        }
        const auto add = [&](std::size_t row, Vec more) {
            T* const to = at.sums + row * at.n + j;
            L::store(to, L::load(to, width) + more, width);
        };
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Count; ++q) add(f + q, sum[q]);
        if (f == 0) add(at.factors, spread);
    }

    static void sum_rows(const T* x, const LookAt<T>& at, std::size_t first, std::size_t count) {
        const auto sums = [&](std::size_t f, std::size_t row, std::size_t rows, std::size_t j, std::size_t width) {
            switch (at.factors - f) {
                case 1: return sum_some<1>(x, at, f, row, rows, j, width);
                case 2: return sum_some<2>(x, at, f, row, rows, j, width);
                case 3: return sum_some<3>(x, at, f, row, rows, j, width);
                default: return sum_some<4>(x, at, f, row, rows, j, width);
            }
        };
        for (std::size_t row = first; row < first + count; row += kSummed) {
            const std::size_t left = first + count - row, rows = left < kSummed ? left : kSummed;
            for (std::size_t f = 0; f < at.factors; f += 4) {
                std::size_t j = 0;
                for (; j + W <= at.n; j += W) sums(f, row, rows, j, W);
                if (j < at.n) sums(f, row, rows, j, at.n - j);
            }
        }
    }

    static double worst(const Residuals<T>& r) {
        using D = Lanes<double, B>;
        using Wide = typename D::Vec;
        constexpr std::size_t kWide = static_cast<std::size_t>(D::W);
        typedef T Part __attribute__((vector_size(kWide * sizeof(T))));
        Wide worst{}, broken{};
        for (std::size_t i = 0; i < r.b; i += kWide) {
            const std::size_t count = r.b - i < kWide ? r.b - i : kWide;
            const auto load = [=](const T* from) {
                Part part{};
                if (count == kWide)
                    __builtin_memcpy(&part, from + i, sizeof(Part));
                else
                    __builtin_memcpy(&part, from + i, count * sizeof(T));
                return __builtin_convertvector(part, Wide);
            };
            Wide residual{}, variance = Wide{} + (r.floor + __DBL_MIN__);
            for (std::size_t q = 0; q < r.k; ++q) {
                const Wide difference = load(r.found + q * r.b) - load(r.promised + q * r.b);
                const Wide square = difference * difference;
                residual = square > residual ? square : residual;
                broken += difference * 0.0;
            }
            for (std::size_t s = 0; s < 3; ++s) variance += load(r.squares[s]) * r.factors[s];
            broken += variance * 0.0;
            const Wide ratio = residual / variance;
            worst = ratio > worst ? ratio : worst;
        }
        double most = 0.0, none = 0.0;
        for (std::size_t lane = 0; lane < kWide; ++lane) {
            most = worst[lane] > most ? worst[lane] : most;
            none += broken[lane];
        }
        return none == 0.0 ? most : __builtin_inf();
    }

    static void look(const T* tiles, const LookAt<T>& at, const std::int32_t* index, std::size_t first,
                     std::size_t count) {
        for (std::size_t done = 0; done < count; done += W, tiles += at.n * W) {
            const std::size_t here = count - done < W ? count - done : W;
            if (at.dots != nullptr) look_along_rows(tiles, at, index, first + done, here);
            if (at.sums != nullptr) add_columns(tiles, at, first + done, here);
        }
    }
};

}  // namespace kakuri::blinding
