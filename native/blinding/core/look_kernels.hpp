// Purpose: what verification needs of the rows of a matrix: products with probes, weighted squares, and sums over rows.
// How: blinding has W rows at a time as a tile of n vectors, one per column; lane i is row i. Sums over columns need no sum
//   across lanes, and sums over rows are summed across lanes once, at the end. A sum over columns runs in four chains, so
//   that its rounding error grows like that of 8 + n / 4 terms; one over rows in W, per tile.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct LookKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);
    static constexpr std::size_t kChains = 4;

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
            const std::size_t left = at.k - q, here = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            const T* const probes = at.probes + q * at.n;
            switch (here) {
                case 4: dots<4>(tile, at.n, probes, total); break;
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
