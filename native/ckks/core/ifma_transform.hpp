// Purpose: the transforms of ntt.hpp on eight 52-bit words at a time, over any vector type V with IFMA's operations.
// Guarantees: multiplicands stay below 4q < 2^52; forward values are below 4q between passes, inverse values below 2q.
// Source: Harvey 2014 with 52-bit quotients; radix-4 passes, depth first, with the last three stages in registers.
#pragma once

#include <algorithm>

#include "ntt.hpp"

namespace kakuri::ckks::ifma {

inline constexpr std::size_t kWidth = 8;
inline constexpr std::size_t kBlockWords = 2048;               // a block that fits the first-level cache
inline constexpr std::size_t kTailWords = 14 * kWidth;         // per eight nodes of eight words
inline constexpr std::size_t kSmallestTransform = 8 * kWidth;  // shorter ones take the scalar path

template <class V>
struct Transform {
    // w and floor(w 2^52 / q).
    struct Multiplier {
        V w;
        V quotient;
    };

    // Table layout, in words: (w, quotient) for every node; then for every eight nodes of n/8 their seven factors as
    //   vectors.
    static std::size_t direction_words(std::size_t n) { return 2 * n + n / 64 * kTailWords; }

    static void fill_direction(const NttTables& tables, const Factor* powers, u64* out) {
        const std::size_t n = tables.n();
        // floor(floor(w 2^64 / q) / 2^12) = floor(w 2^52 / q)
        const auto quotient = [&](std::size_t node) { return powers[node].quotient >> 12; };
        for (std::size_t i = 0; i < n; ++i) {
            *out++ = powers[i].w;
            *out++ = quotient(i);
        }
        for (std::size_t k = 0; k < n / 8; k += kWidth) {
            const auto put = [&](auto node) {
                for (std::size_t lane = 0; lane < kWidth; ++lane) *out++ = powers[node(k + lane)].w;
                for (std::size_t lane = 0; lane < kWidth; ++lane) *out++ = quotient(node(k + lane));
            };
            put([&](std::size_t i) { return n / 8 + i; });
            for (std::size_t j = 0; j < 2; ++j) put([&](std::size_t i) { return n / 4 + 2 * i + j; });
            for (std::size_t j = 0; j < 4; ++j) put([&](std::size_t i) { return n / 2 + 4 * i + j; });
        }
    }

    static Buffer build_tables(const NttTables& tables) {
        Buffer out(2 * direction_words(tables.n()));
        fill_direction(tables, tables.powers(), out.data());
        fill_direction(tables, tables.inverse_powers(), out.data() + direction_words(tables.n()));
        return out;
    }

    static Multiplier node(const u64* table, std::size_t i) {
        return {V::broadcast(table[2 * i]), V::broadcast(table[2 * i + 1])};
    }
    static Multiplier tail_node(const u64* group, std::size_t i) {
        return {V::load(group + 2 * i * kWidth), V::load(group + (2 * i + 1) * kWidth)};
    }
    static Multiplier multiplier(u64 w, u64 q) { return {V::broadcast(w), V::broadcast(Factor(w, q).quotient >> 12)}; }

    struct Field {
        V q, q2;
        explicit Field(u64 prime) : q(V::broadcast(prime)), q2(V::broadcast(2 * prime)) {}

        // Any x below 2^52: x w mod q, below 2q.
        V multiply(V x, Multiplier f) const {
            return V::low52(V::multiply_low(x, f.w) - V::multiply_low(V::multiply_high(x, f.quotient), q));
        }
        V below_2q(V x) const { return V::smaller(x, x - q2); }                      // from below 4q
        V canonical(V x) const { return V::smaller(below_2q(x), below_2q(x) - q); }  // from below 4q
    };

    struct Quad {
        V x0, x1, x2, x3;
    };

    static Quad forward_quad(Quad v, Multiplier w1, Multiplier w2, Multiplier w3, const Field& f) {
        const V a = f.below_2q(v.x0), b = f.below_2q(v.x1);
        const V s = f.multiply(v.x2, w1), t = f.multiply(v.x3, w1);
        const V y0 = f.below_2q(a + s), y2 = f.below_2q(a - s + f.q2);
        const V u = f.multiply(b + t, w2), r = f.multiply(b - t + f.q2, w3);
        return {y0 + u, y0 - u + f.q2, y2 + r, y2 - r + f.q2};
    }

    // Inputs and results below 2q; factors of the sums' path are applied by the caller.
    static Quad inverse_quad(Quad v, Multiplier w1, Multiplier w2, Multiplier w3, const Field& f) {
        const V y0 = f.below_2q(v.x0 + v.x1), y1 = f.multiply(v.x0 - v.x1 + f.q2, w2);
        const V y2 = f.below_2q(v.x2 + v.x3), y3 = f.multiply(v.x2 - v.x3 + f.q2, w3);
        return {f.below_2q(y0 + y2), f.below_2q(y1 + y3), f.multiply(y0 - y2 + f.q2, w1),
                f.multiply(y1 - y3 + f.q2, w1)};
    }

    template <class Butterfly>
    static void pass(const u64* table, u64* x, std::size_t first, std::size_t nodes, std::size_t length,
                     Butterfly butterfly) {
        const std::size_t h = length / 4;
        for (std::size_t i = 0; i < nodes; ++i, x += length) {
            const std::size_t k = first + i;
            const Multiplier w1 = node(table, k), w2 = node(table, 2 * k), w3 = node(table, 2 * k + 1);
            for (std::size_t j = 0; j < h; j += kWidth) {
                const Quad out =
                    butterfly(Quad{V::load(x + j), V::load(x + j + h), V::load(x + j + 2 * h), V::load(x + j + 3 * h)},
                              w1, w2, w3);
                out.x0.store(x + j);
                out.x1.store(x + j + h);
                out.x2.store(x + j + 2 * h);
                out.x3.store(x + j + 3 * h);
            }
        }
    }

    // Eight vectors as the rows of a matrix, transposed.
    static void transpose(V* r) {
        V t[8];
        V s[8];
        for (int i = 0; i < 8; i += 2) {
            t[i] = V::interleave_low(r[i], r[i + 1]);
            t[i + 1] = V::interleave_high(r[i], r[i + 1]);
        }
        for (int i = 0; i < 8; i += 4) {
            for (int k = 0; k < 2; ++k) {
                s[i + k] = V::even_pairs(t[i + k], t[i + k + 2]);
                s[i + k + 2] = V::odd_pairs(t[i + k], t[i + k + 2]);
            }
        }
        for (int k = 0; k < 4; ++k) {
            r[k] = V::even_pairs(s[k], s[k + 4]);
            r[k + 4] = V::odd_pairs(s[k], s[k + 4]);
        }
    }

    static void forward_tail(const u64* group, u64* x, std::size_t words, const Field& f) {
        for (std::size_t j = 0; j < words; j += 8 * kWidth, group += kTailWords) {
            V r[8];
            for (std::size_t k = 0; k < 8; ++k) r[k] = V::load(x + j + k * kWidth);
            transpose(r);
            for (std::size_t half = 0; half < 2; ++half) {
                const Quad out = forward_quad({r[half], r[half + 2], r[half + 4], r[half + 6]}, tail_node(group, 0),
                                              tail_node(group, 1), tail_node(group, 2), f);
                r[half] = out.x0;
                r[half + 2] = out.x1;
                r[half + 4] = out.x2;
                r[half + 6] = out.x3;
            }
            for (std::size_t k = 0; k < 4; ++k) {
                const V a = f.below_2q(r[2 * k]), s = f.multiply(r[2 * k + 1], tail_node(group, 3 + k));
                r[2 * k] = f.canonical(a + s);
                r[2 * k + 1] = f.canonical(a - s + f.q2);
            }
            transpose(r);
            for (std::size_t k = 0; k < 8; ++k) r[k].store(x + j + k * kWidth);
        }
    }

    static void inverse_tail(const u64* group, u64* x, std::size_t words, const Field& f) {
        for (std::size_t j = 0; j < words; j += 8 * kWidth, group += kTailWords) {
            V r[8];
            for (std::size_t k = 0; k < 8; ++k) r[k] = V::load(x + j + k * kWidth);
            transpose(r);
            for (std::size_t k = 0; k < 4; ++k) {
                const V a = r[2 * k], b = r[2 * k + 1];
                r[2 * k] = f.below_2q(a + b);
                r[2 * k + 1] = f.multiply(a - b + f.q2, tail_node(group, 3 + k));
            }
            for (std::size_t half = 0; half < 2; ++half) {
                const Quad out = inverse_quad({r[half], r[half + 2], r[half + 4], r[half + 6]}, tail_node(group, 0),
                                              tail_node(group, 1), tail_node(group, 2), f);
                r[half] = out.x0;
                r[half + 2] = out.x1;
                r[half + 4] = out.x2;
                r[half + 6] = out.x3;
            }
            transpose(r);
            for (std::size_t k = 0; k < 8; ++k) r[k].store(x + j + k * kWidth);
        }
    }

    // n >= kSmallestTransform.
    static void forward(const NttTables& tables, u64* x) {
        const std::size_t n = tables.n();
        const u64* table = tables.in_layout(TableLayout::kWords52, build_tables).data();
        const u64* tail = table + 2 * n;
        const Field f(tables.modulus().q);
        const auto butterfly = [&](Quad v, Multiplier w1, Multiplier w2, Multiplier w3) {
            return forward_quad(v, w1, w2, w3, f);
        };
        std::size_t length = n;
        if (tables.log_n() % 2 == 0) {  // an odd number of stages before the tail's three
            const Multiplier w = node(table, 1);
            for (std::size_t j = 0; j < n / 2; j += kWidth) {
                const V a = V::load(x + j), s = f.multiply(V::load(x + j + n / 2), w);
                (a + s).store(x + j);
                (a - s + f.q2).store(x + j + n / 2);
            }
            length = n / 2;
        }
        for (; length > std::max(kBlockWords, std::size_t{8}); length /= 4)
            pass(table, x, n / length, n / length, length, butterfly);
        const std::size_t step = std::max(length, kSmallestTransform);
        for (std::size_t at = 0; at < n; at += step) {
            for (std::size_t inner = length; inner > 8; inner /= 4)
                pass(table, x + at, (n + at) / inner, step / inner, inner, butterfly);
            forward_tail(tail + at / 64 * kTailWords, x + at, step, f);
        }
    }

    static void inverse(const NttTables& tables, u64* x, u64 factor) {
        const std::size_t n = tables.n();
        const u64* table = tables.in_layout(TableLayout::kWords52, build_tables).data() + direction_words(n);
        const u64* tail = table + 2 * n;
        const Modulus& m = tables.modulus();
        const Field f(m.q);
        const auto butterfly = [&](Quad v, Multiplier w1, Multiplier w2, Multiplier w3) {
            return inverse_quad(v, w1, w2, w3, f);
        };
        const bool single = tables.log_n() % 2 == 0;      // the last pass is one stage
        const std::size_t last = single ? n / 2 : n / 4;  // words of the nodes that it joins
        std::size_t block = 8;
        while (4 * block <= std::min(last, kBlockWords)) block *= 4;
        const std::size_t step = std::max(block, kSmallestTransform);
        for (std::size_t at = 0; at < n; at += step) {
            inverse_tail(tail + at / 64 * kTailWords, x + at, step, f);
            for (std::size_t length = 32; length <= block; length *= 4)
                pass(table, x + at, (n + at) / length, step / length, length, butterfly);
        }
        for (std::size_t length = 4 * block; length <= last; length *= 4)
            pass(table, x, n / length, n / length, length, butterfly);

        const u64 scale = m.multiply(factor, tables.inverse_n().w);
        const Multiplier sum = multiplier(scale, m.q);
        const Multiplier difference = multiplier(m.multiply(scale, tables.inverse_powers()[1].w), m.q);
        const auto finish = [&](V a, V b, u64* low, u64* high) {
            f.canonical(f.multiply(a + b, sum)).store(low);
            f.canonical(f.multiply(a - b + f.q2, difference)).store(high);
        };
        if (single) {
            for (std::size_t j = 0; j < n / 2; j += kWidth)
                finish(V::load(x + j), V::load(x + j + n / 2), x + j, x + j + n / 2);
            return;
        }
        const Multiplier w2 = node(table, 2), w3 = node(table, 3);
        const std::size_t h = n / 4;
        for (std::size_t j = 0; j < h; j += kWidth) {
            const V x0 = V::load(x + j), x1 = V::load(x + j + h), x2 = V::load(x + j + 2 * h),
                    x3 = V::load(x + j + 3 * h);
            finish(f.below_2q(x0 + x1), f.below_2q(x2 + x3), x + j, x + j + 2 * h);
            finish(f.multiply(x0 - x1 + f.q2, w2), f.multiply(x2 - x3 + f.q2, w3), x + j + h, x + j + 3 * h);
        }
    }
};

}  // namespace kakuri::ckks::ifma
