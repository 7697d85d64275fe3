// Purpose: permutation and scale of rows and columns in one pass.
// How: W rows at a time are transposed, so that a column is one vector, and leave by a second transposition that takes
//   the columns in their new order.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct ReorderKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);

    static void reorder(const T* x, ReorderingView<T> rows, ReorderingView<T> columns, T* out, T* workspace,
                        std::size_t begin, std::size_t end) {
        const std::size_t n = columns.size;
        for (std::size_t tile = begin; tile < end; ++tile) {
            const std::size_t row = tile * W, count = rows.size - row < W ? rows.size - row : W;
            const T* from[W];
            for (std::size_t i = 0; i < W; ++i)
                from[i] = x + static_cast<std::size_t>(rows.index[row + (i < count ? i : 0)]) * n;
            const Vec scale = L::load(rows.factor + row, count);
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W];
                if (j + W < n)
                    for (std::size_t i = 0; i < W; ++i) __builtin_prefetch(from[i] + j + W);
                for (std::size_t i = 0; i < W; ++i)
                    v[i] = width == W ? L::load(from[i] + j) : L::load(from[i] + j, width);
                L::transpose(v);
                for (std::size_t i = 0; i < width; ++i) L::store(workspace + (j + i) * W, v[i] * scale);
            }
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W] = {};
                for (std::size_t i = 0; i < width; ++i)
                    v[i] = L::load(workspace + static_cast<std::size_t>(columns.index[j + i]) * W) *
                           columns.factor[j + i];
                L::transpose(v);
                for (std::size_t i = 0; i < count; ++i) {
                    T* to = out + (row + i) * n + j;
                    if (width == W)
                        L::store(to, v[i]);
                    else
                        L::store(to, v[i], width);
                }
            }
        }
    }
};

}  // namespace kakuri::blinding
