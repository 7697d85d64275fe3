// Purpose: randomised Hadamard mixing of columns and rows.
// How: every vector holds one coordinate of several problems, so that permuting is addressing, a sign is one
//   multiplication, and a transform of 64 coordinates is two passes of butterflies of eight through registers. Columns
//   are transposed in and out; rows already lie that way, and are mixed 64 at a time over their whole width.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct MixingKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);

    static void butterflies(Vec (&v)[8]) {
#pragma GCC unroll 3
        for (int half = 1; half < 8; half *= 2)
#pragma GCC unroll 8
            for (int i = 0; i < 8; ++i)
                if ((i & half) == 0) {
                    const Vec a = v[i], b = v[i + half];
                    v[i] = a + b;
                    v[i + half] = a - b;
                }
    }

    // load(j) and store(j, v) for j < 64.
    template <class Load, class Store>
    static void block_of_64(Load load, Store store) {
        Vec local[kBlock], v[8];
        for (std::size_t g = 0; g < 8; ++g) {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) v[i] = load(g + 8 * i);
            butterflies(v);
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) local[g + 8 * i] = v[i];
        }
        for (std::size_t g = 0; g < 8; ++g) {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) v[i] = local[8 * g + i];
            butterflies(v);
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) store(8 * g + i, v[i]);
        }
    }

    template <class Load, class Store>
    static void small_block(std::size_t block, Load load, Store store) {
        Vec local[kBlock / 2];
        for (std::size_t i = 0; i < block; ++i) local[i] = load(i);
        for (std::size_t half = 1; half < block; half *= 2)
            for (std::size_t i = 0; i < block; ++i)
                if ((i & half) == 0) {
                    const Vec a = local[i], b = local[i + half];
                    local[i] = a + b;
                    local[i + half] = a - b;
                }
        for (std::size_t i = 0; i < block; ++i) store(i, local[i]);
    }

    // All blocks of `size` coordinates; load(j) and store(j, v) for j < size.
    template <class Load, class Store>
    static void transform(std::size_t size, Load load, Store store) {
        std::size_t at = 0;
        const auto loading = [&](std::size_t j) { return load(at + j); };
        const auto storing = [&](std::size_t j, Vec v) { store(at + j, v); };
        for (; at + kBlock <= size; at += kBlock) block_of_64(loading, storing);
        for (std::size_t block = kBlock / 2; block > 0; block /= 2)
            if (at + block <= size) {
                small_block(block, loading, storing);
                at += block;
            }
    }

    template <class Load, class Store>
    static void round(MixingView<T> mixing, std::size_t r, bool undo, Load load, Store store) {
        const std::int32_t* index = mixing.index[r];
        const T* factor = mixing.factor[r];
        if (undo)
            transform(mixing.size, load, [&](std::size_t j, Vec v) {
                store(static_cast<std::size_t>(index[j]), v * factor[j]);
            });
        else
            transform(
                mixing.size, [&](std::size_t j) { return load(static_cast<std::size_t>(index[j])) * factor[j]; },
                store);
    }

    static void mix_columns(const T* x, std::size_t b, MixingView<T> mixing, bool undo, T* out, T* workspace,
                            std::size_t begin, std::size_t end) {
        const std::size_t n = mixing.size;
        T* const first = workspace;
        T* const second = workspace + n * W;
        for (std::size_t tile = begin; tile < end; ++tile) {
            const std::size_t row = tile * W, rows = b - row < W ? b - row : W;
            const T* from = x + row * n;
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W];
                for (std::size_t i = 0; i < W; ++i) {
                    const T* p = from + (i < rows ? i : rows - 1) * n + j;
                    v[i] = width == W ? L::load(p) : L::load(p, width);
                }
                L::transpose(v);
                for (std::size_t i = 0; i < width; ++i) L::store(first + (j + i) * W, v[i]);
            }
            for (std::size_t r = 0; r < kRounds; ++r) {
                const T* source = r % 2 == 0 ? first : second;
                T* target = r % 2 == 0 ? second : first;
                round(
                    mixing, undo ? kRounds - 1 - r : r, undo,
                    [=](std::size_t j) { return L::load(source + j * W); },
                    [=](std::size_t j, Vec v) { L::store(target + j * W, v); });
            }
            static_assert(kRounds % 2 == 0);  // the result is in `first` again
            T* to = out + row * n;
            for (std::size_t j = 0; j < n; j += W) {
                const std::size_t width = n - j < W ? n - j : W;
                Vec v[W] = {};
                for (std::size_t i = 0; i < width; ++i) v[i] = L::load(first + (j + i) * W);
                L::transpose(v);
                for (std::size_t i = 0; i < rows; ++i) {
                    if (width == W)
                        L::store(to + i * n + j, v[i]);
                    else
                        L::store(to + i * n + j, v[i], width);
                }
            }
        }
    }

    // Rows in a secret order lie where no hardware expects them.
    static void fetch_ahead(std::size_t count, const T* const* from, T* const* to, std::size_t c) {
        for (std::size_t j = 0; j < count; ++j) {
            __builtin_prefetch(from[j] + c, 0);
            if (to[j] != nullptr) __builtin_prefetch(to[j] + c, 1);
        }
    }

    // One tile of rows: to[j] = the transform of from[j], times factor[j] before it, or with Undo behind it. Rows
    // without a target are dropped.
    template <bool Undo>
    static void mix_tile(std::size_t count, std::size_t n, const T* const* from, const T* factor, T* const* to) {
        std::size_t c = 0;
        const auto pass = [&](auto read, auto write) {
            transform(
                count, [&](std::size_t j) { return Undo ? read(from[j] + c) : read(from[j] + c) * factor[j]; },
                [&](std::size_t j, Vec v) {
                    if (to[j] != nullptr) write(to[j] + c, Undo ? v * factor[j] : v);
                });
        };
        fetch_ahead(count, from, to, 0);
        for (; c + W <= n; c += W) {
            if (c + W < n) fetch_ahead(count, from, to, c + W);
            pass([](const T* p) { return L::load(p); }, [](T* p, Vec v) { L::store(p, v); });
        }
        const std::size_t rest = n - c;
        if (rest > 0)
            pass([=](const T* p) { return L::load(p, rest); }, [=](T* p, Vec v) { L::store(p, v, rest); });
    }

    static std::size_t tile_rows(std::size_t size, std::size_t tile) {
        return size - tile * kBlock < kBlock ? size - tile * kBlock : kBlock;
    }

    static void mix_first(RowsOf<T> x, std::size_t n, MixingView<T> p, T* between, std::size_t begin,
                          std::size_t end) {
        for (std::size_t tile = begin; tile < end; ++tile) {
            const std::size_t at = tile * kBlock, count = tile_rows(p.size, tile);
            const T* from[kBlock] = {};
            T* to[kBlock] = {};
            T factor[kBlock];
            for (std::size_t j = 0; j < count; ++j) {
                const auto i = static_cast<std::size_t>(p.index[0][at + j]);
                const bool again = i >= x.rows + x.count;
                from[j] = i < x.rows ? x.data + i * n : x.shields + (i - x.rows - (again ? x.count : 0)) * n;
                to[j] = between + (at + j) * n;
                factor[j] = p.factor[0][at + j] * (again ? x.sign : T{1});
            }
            mix_tile<false>(count, n, from, factor, to);
        }
    }

    static void mix_second(const T* between, MixingView<T> p, MixingView<T> q, T* out, T* workspace,
                           std::size_t begin, std::size_t end) {
        const std::size_t n = q.size;
        T* const local = workspace + 2 * n * W;
        for (std::size_t tile = begin; tile < end; ++tile) {
            const std::size_t at = tile * kBlock, count = tile_rows(p.size, tile);
            const T* from[kBlock] = {};
            T* to[kBlock] = {};
            for (std::size_t j = 0; j < count; ++j) {
                from[j] = between + static_cast<std::size_t>(p.index[1][at + j]) * n;
                to[j] = local + j * n;
            }
            mix_tile<false>(count, n, from, p.factor[1] + at, to);
            mix_columns(local, count, q, false, out + at * n, workspace, 0, (count + W - 1) / W);
        }
    }

    static void undo_first(const T* y, MixingView<T> p, MixingView<T> q, T* between, T* workspace, std::size_t begin,
                           std::size_t end) {
        const std::size_t n = q.size;
        T* const local = workspace + 2 * n * W;
        for (std::size_t tile = begin; tile < end; ++tile) {
            const std::size_t at = tile * kBlock, count = tile_rows(p.size, tile);
            mix_columns(y + at * n, count, q, true, local, workspace, 0, (count + W - 1) / W);
            const T* from[kBlock] = {};
            T* to[kBlock] = {};
            for (std::size_t j = 0; j < count; ++j) {
                from[j] = local + j * n;
                to[j] = between + static_cast<std::size_t>(p.index[1][at + j]) * n;
            }
            mix_tile<true>(count, n, from, p.factor[1] + at, to);
        }
    }

    static void undo_second(const T* between, std::size_t n, MixingView<T> p, std::size_t rows, T* out,
                            std::size_t begin, std::size_t end) {
        for (std::size_t tile = begin; tile < end; ++tile) {
            const std::size_t at = tile * kBlock, count = tile_rows(p.size, tile);
            const T* from[kBlock] = {};
            T* to[kBlock] = {};
            for (std::size_t j = 0; j < count; ++j) {
                const auto i = static_cast<std::size_t>(p.index[0][at + j]);
                from[j] = between + (at + j) * n;
                to[j] = i < rows ? out + i * n : nullptr;
            }
            mix_tile<true>(count, n, from, p.factor[0] + at, to);
        }
    }
};

}  // namespace kakuri::blinding
