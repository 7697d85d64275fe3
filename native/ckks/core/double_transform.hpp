// Purpose: radix-4 transforms in double precision over a vector type V, depth first once a block fits the first-level
//   cache. The last four stages work on nodes of sixteen words in registers.
// Bounds ("within B", double_field.hpp), each checked for every pass: a forward pass that reduces takes inputs within 3.3
//   and multiplies values within 4, one that does not takes inputs within 2.2; inverse inputs are within 1.6 and sums
//   within 6.4. All are integers below 2^53.
// Source: the radix-4 blocking of Harvey 2014 section 5 and of FLINT's fft_small.
#pragma once

#include "double_field.hpp"

namespace kakuri::ckks::lanes {

inline constexpr std::size_t kSmallestTransform = 64;
inline constexpr std::size_t kCacheBlock = 1024;  // words: 8 KiB, and as much for the twiddles
inline constexpr std::size_t kNode = 16;          // words of the nodes that the tail transforms

template <class V>
struct Transform {
    using Doubles = typename V::Doubles;
    using Quad = typename V::Quad;
    using Factor3 = Multiplier<V>[3];  // of a node and of its two halves
    static constexpr std::size_t kLanes = V::kLanes;
    static constexpr std::size_t kGroup = 4 * kLanes;  // words that the tail takes at once
    static constexpr std::size_t kTailWords = 3 * kLanes;

    // Table layout, in doubles: (w, w/q) for the n/4 nodes before the last two stages; then for every kLanes nodes of
    // those w1, w2, w3 as vectors, whose quotients cost no more to compute than to fetch. Forward and inverse one after
    // the other.
    static std::size_t direction_words(std::size_t n) { return n / 2 + n / kGroup * kTailWords; }

    static void fill_direction(const NttTables& tables, const Factor* powers, u64* out) {
        const std::size_t n = tables.n();
        const u64 q = tables.modulus().q;
        const auto value = [&](std::size_t node) { return balanced(powers[node].w, q); };
        for (std::size_t i = 0; i < n / 4; ++i) {
            *out++ = std::bit_cast<u64>(value(i));
            *out++ = std::bit_cast<u64>(value(i) / static_cast<double>(q));
        }
        for (std::size_t k = 0; k < n / 4; k += kLanes) {
            const auto put = [&](auto node) {
                for (std::size_t lane : V::kNodeOfLane) *out++ = std::bit_cast<u64>(value(node(k + lane)));
            };
            put([&](std::size_t i) { return n / 4 + i; });
            put([&](std::size_t i) { return n / 2 + 2 * i; });
            put([&](std::size_t i) { return n / 2 + 2 * i + 1; });
        }
    }

    static Buffer build_tables(const NttTables& tables) {
        Buffer out(2 * direction_words(tables.n()));
        fill_direction(tables, tables.powers(), out.data());
        fill_direction(tables, tables.inverse_powers(), out.data() + direction_words(tables.n()));
        return out;
    }
    static const u64* table(const NttTables& tables) {
        return tables.in_layout(kLanes == 4 ? TableLayout::kDoubles4 : TableLayout::kDoubles8, build_tables).data();
    }

    static const double* pair(const u64* table, std::size_t i) {
        return reinterpret_cast<const double*>(table) + 2 * i;
    }
    static Multiplier<V> node(const u64* table, std::size_t i) {
        return {V::broadcast(pair(table, i)[0]), V::broadcast(pair(table, i)[1])};
    }
    // Of the nodes i, i + step, ... that one vector of the tail spans.
    static Multiplier<V> nodes(const u64* table, std::size_t i, std::size_t step) {
        return {V::broadcast_nodes(pair(table, i), 2 * step), V::broadcast_nodes(pair(table, i) + 1, 2 * step)};
    }
    static Multiplier<V> tail_node(const u64* group, std::size_t i, const Field<V>& f) {
        const Doubles w = V::load(group + i * kLanes);
        return {w, w * f.inverse};
    }

    template <bool kFromWords>
    static Doubles load(const u64* p) {
        if constexpr (kFromWords) return residues<V>(p);
        return V::load(p);
    }
    // Cooley-Tukey, two stages. With kReduce the first entry is brought within 1/2 first. Several independent quads go
    // side by side: the long latency of one hides behind the others.
    template <bool kReduce, std::size_t kCount>
    static void forward_quads(Quad* v, const Factor3& w, const Field<V>& f) {
        Doubles s[kCount], t[kCount];
        for (std::size_t i = 0; i < kCount; ++i) s[i] = f.multiply(v[i].x2, w[0]);
        for (std::size_t i = 0; i < kCount; ++i) t[i] = f.multiply(v[i].x3, w[0]);
        if (kReduce)
            for (std::size_t i = 0; i < kCount; ++i) v[i].x0 = f.reduce(v[i].x0);
        for (std::size_t i = 0; i < kCount; ++i) {
            v[i].x2 = v[i].x0 - s[i];
            v[i].x0 = v[i].x0 + s[i];
            v[i].x3 = v[i].x1 - t[i];
            v[i].x1 = v[i].x1 + t[i];
        }
        for (std::size_t i = 0; i < kCount; ++i) s[i] = f.multiply(v[i].x1, w[1]);
        for (std::size_t i = 0; i < kCount; ++i) t[i] = f.multiply(v[i].x3, w[2]);
        for (std::size_t i = 0; i < kCount; ++i) {
            v[i].x1 = v[i].x0 - s[i];
            v[i].x0 = v[i].x0 + s[i];
            v[i].x3 = v[i].x2 - t[i];
            v[i].x2 = v[i].x2 + t[i];
        }
    }

    // Gentleman-Sande, two stages; the sum of all four is brought within 1/2.
    static Quad inverse_quad(Quad v, const Factor3& w, const Field<V>& f) {
        const Doubles y0 = v.x0 + v.x1, y1 = f.multiply(v.x0 - v.x1, w[1]);
        const Doubles y2 = v.x2 + v.x3, y3 = f.multiply(v.x2 - v.x3, w[2]);
        return {f.reduce(y0 + y2), y1 + y3, f.multiply_large(y0 - y2, w[0]), f.multiply(y1 - y3, w[0])};
    }

    // One radix-4 pass over `count` nodes of `length` words each, the first being node `first` of its stage.
    template <bool kReduce, bool kFromWords>
    static void forward_pass(const u64* table, u64* x, std::size_t first, std::size_t count, std::size_t length,
                             const Field<V>& f) {
        constexpr std::size_t kAtOnce = 2;
        const std::size_t h = length / 4;
        for (std::size_t k = first; k < first + count; ++k, x += length) {
            const Factor3 w = {node(table, k), node(table, 2 * k), node(table, 2 * k + 1)};
            for (std::size_t j = 0; j < h; j += kAtOnce * kLanes) {
                Quad v[kAtOnce];
                for (std::size_t i = 0; i < kAtOnce; ++i) {
                    const u64* p = x + j + i * kLanes;
                    v[i] = {load<kFromWords>(p), load<kFromWords>(p + h), load<kFromWords>(p + 2 * h),
                            load<kFromWords>(p + 3 * h)};
                }
                forward_quads<kReduce, kAtOnce>(v, w, f);
                for (std::size_t i = 0; i < kAtOnce; ++i) {
                    u64* p = x + j + i * kLanes;
                    V::store(p, v[i].x0);
                    V::store(p + h, v[i].x1);
                    V::store(p + 2 * h, v[i].x2);
                    V::store(p + 3 * h, v[i].x3);
                }
            }
        }
    }

    static void inverse_pass(const u64* table, u64* x, std::size_t first, std::size_t count, std::size_t length,
                             const Field<V>& f) {
        const std::size_t h = length / 4;
        for (std::size_t k = first; k < first + count; ++k, x += length) {
            const Factor3 w = {node(table, k), node(table, 2 * k), node(table, 2 * k + 1)};
            for (std::size_t j = 0; j < h; j += kLanes) {
                u64* p = x + j;
                const Quad out =
                    inverse_quad({V::load(p), V::load(p + h), V::load(p + 2 * h), V::load(p + 3 * h)}, w, f);
                V::store(p, out.x0);
                V::store(p + h, out.x1);
                V::store(p + 2 * h, out.x2);
                V::store(p + 3 * h, out.x3);
            }
        }
    }

    // The last four stages on `words` words at offset `at` of the polynomial.
    static void forward_tail(const u64* table, std::size_t n, u64* x, std::size_t at, std::size_t words,
                             const Field<V>& f) {
        const u64* group = table + n / 2 + at / kGroup * kTailWords;
        std::size_t k = (n + at) / kNode;
        for (u64 *p = x + at, *end = p + words; p < end; p += kGroup, group += kTailWords, k += kGroup / kNode) {
            const Factor3 outer = {nodes(table, k, 1), nodes(table, 2 * k, 2), nodes(table, 2 * k + 1, 2)};
            const Factor3 inner = {tail_node(group, 0, f), tail_node(group, 1, f), tail_node(group, 2, f)};
            Quad v = V::split_nodes(
                {V::load(p), V::load(p + kLanes), V::load(p + 2 * kLanes), V::load(p + 3 * kLanes)});
            forward_quads<true, 1>(&v, outer, f);
            v = V::transpose(v);
            forward_quads<true, 1>(&v, inner, f);
            v = V::join_nodes(V::transpose_back(v));
            V::store_words(p, f.canonical(v.x0));
            V::store_words(p + kLanes, f.canonical(v.x1));
            V::store_words(p + 2 * kLanes, f.canonical(v.x2));
            V::store_words(p + 3 * kLanes, f.canonical(v.x3));
        }
    }

    static void inverse_tail(const u64* table, std::size_t n, u64* x, std::size_t at, std::size_t words,
                             const Field<V>& f) {
        const u64* group = table + n / 2 + at / kGroup * kTailWords;
        std::size_t k = (n + at) / kNode;
        for (u64 *p = x + at, *end = p + words; p < end; p += kGroup, group += kTailWords, k += kGroup / kNode) {
            const Factor3 outer = {nodes(table, k, 1), nodes(table, 2 * k, 2), nodes(table, 2 * k + 1, 2)};
            const Factor3 inner = {tail_node(group, 0, f), tail_node(group, 1, f), tail_node(group, 2, f)};
            Quad v = V::split_nodes({residues<V>(p), residues<V>(p + kLanes), residues<V>(p + 2 * kLanes),
                                     residues<V>(p + 3 * kLanes)});
            v = V::transpose_back(inverse_quad(V::transpose(v), inner, f));
            v = V::join_nodes(inverse_quad(v, outer, f));
            V::store(p, v.x0);
            V::store(p + kLanes, v.x1);
            V::store(p + 2 * kLanes, v.x2);
            V::store(p + 3 * kLanes, v.x3);
        }
    }

    // The passes from nodes of `length` words down to those above `shortest`, on `words` words; `first` is the first
    // node. Every second pass reduces; `reduce` says whether the next one does.
    static void forward_passes(const u64* table, u64* x, std::size_t first, std::size_t length, std::size_t shortest,
                               std::size_t words, bool& reduce, const Field<V>& f) {
        for (; length > shortest; length /= 4, first *= 4, reduce = !reduce) {
            if (reduce)
                forward_pass<true, false>(table, x, first, words / length, length, f);
            else
                forward_pass<false, false>(table, x, first, words / length, length, f);
        }
    }

    static void forward(const NttTables& tables, u64* x) {
        const std::size_t n = tables.n();
        const u64* table = Transform::table(tables);
        const Field<V> f(tables.modulus().q);
        // The first pass converts; it does one stage where the number of stages is odd. Its inputs are within 1.
        std::size_t length = n / 4;  // words of a node in the next pass
        if (tables.log_n() % 2 != 0) {
            const Multiplier<V> w = node(table, 1);
            length = n / 2;
            for (std::size_t j = 0; j < n / 2; j += kLanes) {
                const Doubles a = residues<V>(x + j);
                const Doubles s = f.multiply(residues<V>(x + j + n / 2), w);
                V::store(x + j, a + s);
                V::store(x + j + n / 2, a - s);
            }
        } else {
            forward_pass<false, true>(table, x, 1, 1, n, f);
        }
        bool reduce = true;
        std::size_t block = length;
        while (block > kCacheBlock) block /= 4;
        forward_passes(table, x, n / length, length, block, n, reduce, f);
        const std::size_t step = std::max(block, kGroup);  // the tail works on whole groups
        for (std::size_t at = 0; at < n; at += step) {
            bool block_reduce = reduce;
            forward_passes(table, x + at, (n + at) / block, block, kNode, step, block_reduce, f);
            forward_tail(table, n, x, at, step, f);
        }
    }

    static void inverse(const NttTables& tables, u64* x, u64 factor) {
        const std::size_t n = tables.n();
        const u64* table = Transform::table(tables) + direction_words(n);
        const Field<V> f(tables.modulus().q);
        const bool odd = tables.log_n() % 2 != 0;
        // Blocks of a power of four words (twice that for odd log n), from the tail up to their own last pass.
        const std::size_t last = odd ? n / 2 : n / 4;  // words of the nodes that the final pass joins
        std::size_t block = kNode;
        while (4 * block <= std::min(last, kCacheBlock)) block *= 4;
        const std::size_t step = std::max(block, kGroup);
        for (std::size_t at = 0; at < n; at += step) {
            inverse_tail(table, n, x, at, step, f);
            for (std::size_t length = 4 * kNode; length <= block; length *= 4)
                inverse_pass(table, x + at, (n + at) / length, step / length, length, f);
        }
        for (std::size_t length = 4 * block; length <= last; length *= 4)
            inverse_pass(table, x, n / length, n / length, length, f);
        finish_inverse(tables, table, x, factor, odd, f);
    }

    // The last one or two stages with the factor 1/N and the caller's.
    static void finish_inverse(const NttTables& tables, const u64* table, u64* x, u64 factor, bool odd,
                               const Field<V>& f) {
        const std::size_t n = tables.n();
        const Modulus& m = tables.modulus();
        const u64 scale = m.multiply(factor, tables.inverse_n().w);
        const Multiplier<V> sum = Multiplier<V>::of(scale, m.q);
        const Multiplier<V> difference = Multiplier<V>::of(m.multiply(scale, tables.inverse_powers()[1].w), m.q);
        if (odd) {
            for (std::size_t j = 0; j < n / 2; j += kLanes) {
                const Doubles a = V::load(x + j), b = V::load(x + j + n / 2);
                V::store_words(x + j, f.canonical(f.multiply(a + b, sum)));
                V::store_words(x + j + n / 2, f.canonical(f.multiply(a - b, difference)));
            }
            return;
        }
        const Multiplier<V> w2 = node(table, 2), w3 = node(table, 3);
        const std::size_t h = n / 4;
        for (std::size_t j = 0; j < h; j += kLanes) {
            const Doubles x0 = V::load(x + j), x1 = V::load(x + j + h);
            const Doubles x2 = V::load(x + j + 2 * h), x3 = V::load(x + j + 3 * h);
            const Doubles y0 = x0 + x1, y1 = f.multiply(x0 - x1, w2);
            const Doubles y2 = x2 + x3, y3 = f.multiply(x2 - x3, w3);
            V::store_words(x + j, f.canonical(f.multiply_large(y0 + y2, sum)));
            V::store_words(x + j + h, f.canonical(f.multiply(y1 + y3, sum)));
            V::store_words(x + j + 2 * h, f.canonical(f.multiply_large(y0 - y2, difference)));
            V::store_words(x + j + 3 * h, f.canonical(f.multiply(y1 - y3, difference)));
        }
    }
};

}  // namespace kakuri::ckks::lanes
