// Purpose: permutation and scale of rows and columns in one pass.
// How: W rows at a time are transposed into a tile, so that a column is one vector, and leave by a second transposition
//   that takes the columns in their new order. Rows are scaled on their way in when something is undone, else on their
//   way out, so that tiles are plain rows.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct ReorderKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);

    // Lanes behind the last row repeat the tile's first.
    static void reorder_in(const T* x, ReorderingView<T> rows, std::size_t n, bool undo, T* tiles, std::size_t begin,
                           std::size_t end) {
        for (std::size_t tile = begin; tile < end; ++tile, tiles += n * W) {
            const std::size_t row = tile * W, count = rows.size - row < W ? rows.size - row : W;
            const T* from[W];
            for (std::size_t i = 0; i < W; ++i) {
                const std::size_t at = row + (i < count ? i : 0);
                from[i] = x + (rows.index == nullptr ? at : static_cast<std::size_t>(rows.index[at])) * n;
            }
            Vec scale = Vec{} + T{1};
            if (undo) scale = L::load(rows.factor + row, count);
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W];
                if (j + W < n)
                    for (std::size_t i = 0; i < W; ++i) __builtin_prefetch(from[i] + j + W);
                for (std::size_t i = 0; i < W; ++i) v[i] = L::load(from[i] + j, width);
                L::transpose(v);
                for (std::size_t i = 0; i < width; ++i) L::store(tiles + (j + i) * W, v[i] * scale);
            }
        }
    }

    static void reorder_out(const T* tiles, ReorderingView<T> rows, ReorderingView<T> columns, bool undo, T* out,
                            std::size_t begin, std::size_t end) {
        const std::size_t n = columns.size;
        for (std::size_t tile = begin; tile < end; ++tile, tiles += n * W) {
            const std::size_t row = tile * W, count = rows.size - row < W ? rows.size - row : W;
            Vec scale = Vec{} + T{1};
            if (!undo) scale = L::load(rows.factor + row, count);
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W] = {};
                for (std::size_t i = 0; i < width; ++i)
                    v[i] = L::load(tiles + static_cast<std::size_t>(columns.index[j + i]) * W) *
                           (scale * columns.factor[j + i]);
                L::transpose(v);
                for (std::size_t i = 0; i < count; ++i) L::store(out + (row + i) * n + j, v[i], width);
            }
        }
    }
};

}  // namespace kakuri::blinding
