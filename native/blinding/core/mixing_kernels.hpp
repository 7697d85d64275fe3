// Purpose: randomised Hadamard mixing of columns and rows.
// How: every vector holds one coordinate of several problems, so that permuting is addressing, a sign is one
//   multiplication, and a transform of 64 coordinates is two passes of butterflies of eight through registers. Rows lie
//   that way, and are mixed 64 at a time over their whole width. For columns W rows are a tile, transposed; between two
//   rounds one tile is in memory, and what is transposed is taken from or put into a block of 64 in registers' reach.
#pragma once

#include "lanes.hpp"

namespace kakuri::blinding {

template <typename T, int B>
struct MixingKernels {
    using L = Lanes<T, B>;
    using Vec = typename L::Vec;
    static constexpr std::size_t W = static_cast<std::size_t>(L::W);

    [[gnu::always_inline]] static inline void butterflies(Vec (&v)[8]) {
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
    [[gnu::always_inline]] static inline void block_of_64(Load load, Store store) {
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

    template <int Size, class Load, class Store>
    static void small_block(Load load, Store store) {
        Vec v[Size];
#pragma GCC unroll 32
        for (std::size_t i = 0; i < Size; ++i) v[i] = load(i);
#pragma GCC unroll 5
        for (std::size_t half = 1; half < Size; half *= 2)
#pragma GCC unroll 32
            for (std::size_t i = 0; i < Size; ++i)
                if ((i & half) == 0) {
                    const Vec a = v[i], b = v[i + half];
                    v[i] = a + b;
                    v[i + half] = a - b;
                }
#pragma GCC unroll 32
        for (std::size_t i = 0; i < Size; ++i) store(i, v[i]);
    }

    // The transform of `size` coordinates, a power of two; load(j) and store(j, v) for j < size.
    template <class Load, class Store>
    [[gnu::always_inline]] static inline void hadamard(std::size_t size, Load load, Store store) {
        switch (size) {
            case kBlock: block_of_64(load, store); break;
            case 32: small_block<32>(load, store); break;
            case 16: small_block<16>(load, store); break;
            case 8: small_block<8>(load, store); break;
            case 4: small_block<4>(load, store); break;
            case 2: small_block<2>(load, store); break;
            default: small_block<1>(load, store);
        }
    }

    // work(at, size) for the blocks that `size` coordinates are cut into.
    template <class Work>
    [[gnu::always_inline]] static inline void blocks(std::size_t size, Work work) {
        std::size_t at = 0;
        for (; at + kBlock <= size; at += kBlock) work(at, kBlock);
        for (std::size_t block = kBlock / 2; block > 0; block /= 2)
            if (at + block <= size) {
                work(at, block);
                at += block;
            }
    }

    // All blocks of `size` coordinates; load(j) and store(j, v) for j < size.
    template <class Load, class Store>
    [[gnu::always_inline]] static inline void transform(std::size_t size, Load load, Store store) {
        blocks(size, [&](std::size_t at, std::size_t block) {
            hadamard(
                block, [&](std::size_t j) { return load(at + j); }, [&](std::size_t j, Vec v) { store(at + j, v); });
        });
    }

    // Round r of a tile.
    static void round(MixingView<T> mixing, std::size_t r, const T* from, T* to) {
        transform(
            mixing.size,
            [=](std::size_t j) {
                return L::load(from + static_cast<std::size_t>(mixing.index[r][j]) * W) * mixing.factor[r][j];
            },
            [=](std::size_t j, Vec v) { L::store(to + j * W, v); });
    }
    static void undo_round(MixingView<T> mixing, std::size_t r, const T* from, T* to) {
        transform(
            mixing.size, [=](std::size_t j) { return L::load(from + j * W); },
            [=](std::size_t j, Vec v) {
                L::store(to + static_cast<std::size_t>(mixing.index[r][j]) * W, v * mixing.factor[r][j]);
            });
    }

    // Columns [at, at + size) of `rows` rows of x, a vector per column.
    static void take(const T* x, std::size_t n, std::size_t at, std::size_t size, std::size_t rows, T* to) {
        for (std::size_t j = 0; j < size; j += W) {
            const std::size_t width = size - j < W ? size - j : W;
            Vec v[W];
            for (std::size_t i = 0; i < W; ++i) {
                v[i] = L::load(x + (i < rows ? i : 0) * n + at + j, width);
            }
            L::transpose(v);
            for (std::size_t i = 0; i < width; ++i) L::store(to + (j + i) * W, v[i]);
        }
    }
    static void put(const T* from, std::size_t n, std::size_t at, std::size_t size, std::size_t rows, T* x) {
        for (std::size_t j = 0; j < size; j += W) {
            const std::size_t width = size - j < W ? size - j : W;
            Vec v[W] = {};
            for (std::size_t i = 0; i < width; ++i) v[i] = L::load(from + (j + i) * W);
            L::transpose(v);
            for (std::size_t i = 0; i < rows; ++i) L::store(x + i * n + at + j, v[i], width);
        }
    }

    static void mix_tile_out(const T* tile, MixingView<T> q, T* out, T* workspace, std::size_t rows) {
        round(q, 0, tile, workspace);
        alignas(B) T local[kBlock * W];
        blocks(q.size, [&](std::size_t at, std::size_t size) {
            hadamard(
                size,
                [&](std::size_t j) {
                    return L::load(workspace + static_cast<std::size_t>(q.index[1][at + j]) * W) * q.factor[1][at + j];
                },
                [&](std::size_t j, Vec v) { L::store(local + j * W, v); });
            put(local, q.size, at, size, rows, out);
        });
    }
    static void undo_tile_in(const T* y, MixingView<T> q, T* tile, T* workspace, std::size_t rows) {
        alignas(B) T local[kBlock * W];
        blocks(q.size, [&](std::size_t at, std::size_t size) {
            take(y, q.size, at, size, rows, local);
            hadamard(
                size, [&](std::size_t j) { return L::load(local + j * W); },
                [&](std::size_t j, Vec v) {
                    L::store(workspace + static_cast<std::size_t>(q.index[1][at + j]) * W, v * q.factor[1][at + j]);
                });
        });
        undo_round(q, 0, workspace, tile);
    }

    static void mix_out(const T* tiles, MixingView<T> q, T* out, T* workspace, std::size_t first, std::size_t rows) {
        for (std::size_t i = 0; i < rows; i += W)
            mix_tile_out(tiles + i * q.size, q, out + (first + i) * q.size, workspace, rows - i < W ? rows - i : W);
    }
    static void undo_in(const T* y, MixingView<T> q, T* tiles, T* workspace, std::size_t first, std::size_t rows) {
        for (std::size_t i = 0; i < rows; i += W)
            undo_tile_in(y + (first + i) * q.size, q, tiles + i * q.size, workspace, rows - i < W ? rows - i : W);
    }

    static void mix_columns(const T* x, std::size_t b, MixingView<T> q, bool undo, T* out, T* workspace,
                            std::size_t begin, std::size_t end) {
        const std::size_t n = q.size;
        T* const tile = workspace + n * W;
        for (std::size_t at = begin; at < end; ++at) {
            const std::size_t row = at * W, rows = b - row < W ? b - row : W;
            if (undo) {
                undo_tile_in(x + row * n, q, tile, workspace, rows);
                put(tile, n, 0, n, rows, out + row * n);
            } else {
                take(x + row * n, n, 0, n, rows, tile);
                mix_tile_out(tile, q, out + row * n, workspace, rows);
            }
        }
    }

    // Rows in a secret order lie where no hardware expects them.
    static void fetch(std::size_t count, const T* const* rows, std::size_t c) {
        for (std::size_t j = 0; j < count; ++j) __builtin_prefetch(rows[j] + c, 0);
    }
    static void fetch_to_write(std::size_t count, T* const* rows, std::size_t c) {
        for (std::size_t j = 0; j < count; ++j)
            if (rows[j] != nullptr) __builtin_prefetch(rows[j] + c, 1);
    }

    // One block of rows: to[j] = the transform of from[j], times factor[j] before it, or with Undo behind it. Rows
    // without a target are dropped.
    template <bool Undo>
    static void mix_rows(std::size_t count, std::size_t n, const T* const* from, const T* factor, T* const* to) {
        std::size_t c = 0;
        const auto pass = [&](auto read, auto write) {
            transform(
                count, [&](std::size_t j) { return Undo ? read(from[j] + c) : read(from[j] + c) * factor[j]; },
                [&](std::size_t j, Vec v) {
                    if (to[j] != nullptr) write(to[j] + c, Undo ? v * factor[j] : v);
                });
        };
        fetch(count, from, 0);
        fetch_to_write(count, to, 0);
        for (; c + W <= n; c += W) {
            if (c + W < n) {
                fetch(count, from, c + W);
                fetch_to_write(count, to, c + W);
            }
            pass([](const T* p) { return L::load(p); }, [](T* p, Vec v) { L::store(p, v); });
        }
        const std::size_t rest = n - c;
        if (rest > 0)
            pass([=](const T* p) { return L::load(p, rest); }, [=](T* p, Vec v) { L::store(p, v, rest); });
    }

    static std::size_t rows_of(std::size_t size, std::size_t block) {
        return size - block * kBlock < kBlock ? size - block * kBlock : kBlock;
    }
    static std::size_t rest(std::size_t count, std::size_t i) { return count - i < W ? count - i : W; }

    static void mix_first(RowsOf<T> x, std::size_t n, MixingView<T> p, T* between, std::size_t stride,
                          std::size_t begin, std::size_t end) {
        for (std::size_t block = begin; block < end; ++block) {
            const std::size_t at = block * kBlock, count = rows_of(p.size, block);
            const T* from[kBlock] = {};
            T* to[kBlock] = {};
            T factor[kBlock];
            for (std::size_t j = 0; j < count; ++j) {
                const auto i = static_cast<std::size_t>(p.index[0][at + j]);
                const bool again = i >= x.rows + x.count;
                from[j] = i < x.rows ? x.data + i * n : x.shields + (i - x.rows - (again ? x.count : 0)) * n;
                to[j] = between + (at + j) * stride;
                factor[j] = p.factor[0][at + j] * (again ? x.sign : T{1});
            }
            mix_rows<false>(count, n, from, factor, to);
        }
    }

    static void mix_second(const T* between, std::size_t stride, std::size_t n, MixingView<T> p, T* tiles,
                           std::size_t block) {
        const std::size_t at = block * kBlock, count = rows_of(p.size, block);
        const T* from[kBlock] = {};
        for (std::size_t j = 0; j < count; ++j)
            from[j] = between + static_cast<std::size_t>(p.index[1][at + j]) * stride;
        const T* const factor = p.factor[1] + at;
        alignas(B) T local[kBlock * W] = {};
        for (std::size_t c = 0; c < n; c += W) {
            const std::size_t width = n - c < W ? n - c : W;
            if (c + W < n) fetch(count, from, c + W);
            transform(
                count,
                [&](std::size_t j) { return L::load(from[j] + c, width) * factor[j]; },
                [&](std::size_t j, Vec v) { L::store(local + j * W, v); });
            for (std::size_t i = 0; i < count; i += W)
                take(local + i * W, W, 0, width, rest(count, i), tiles + i * n + c * W);
        }
    }

    static void undo_first(const T* tiles, std::size_t n, MixingView<T> p, T* between, std::size_t stride,
                           std::size_t block) {
        const std::size_t at = block * kBlock, count = rows_of(p.size, block);
        T* to[kBlock] = {};
        for (std::size_t j = 0; j < count; ++j) to[j] = between + static_cast<std::size_t>(p.index[1][at + j]) * stride;
        const T* const factor = p.factor[1] + at;
        alignas(B) T local[kBlock * W] = {};
        for (std::size_t c = 0; c < n; c += W) {
            const std::size_t width = n - c < W ? n - c : W;
            if (c + W < n) fetch_to_write(count, to, c + W);
            for (std::size_t i = 0; i < count; i += W)
                put(tiles + i * n + c * W, W, 0, width, rest(count, i), local + i * W);
            transform(
                count, [&](std::size_t j) { return L::load(local + j * W); },
                [&](std::size_t j, Vec v) { L::store(to[j] + c, v * factor[j], width); });
        }
    }

    static void undo_second(const T* between, std::size_t stride, std::size_t n, MixingView<T> p, std::size_t rows,
                            T* out, std::size_t begin, std::size_t end) {
        for (std::size_t block = begin; block < end; ++block) {
            const std::size_t at = block * kBlock, count = rows_of(p.size, block);
            const T* from[kBlock] = {};
            T* to[kBlock] = {};
            for (std::size_t j = 0; j < count; ++j) {
                const auto i = static_cast<std::size_t>(p.index[0][at + j]);
                from[j] = between + (at + j) * stride;
                to[j] = i < rows ? out + i * n : nullptr;
            }
            mix_rows<true>(count, n, from, p.factor[0] + at, to);
        }
    }
};

}  // namespace kakuri::blinding
