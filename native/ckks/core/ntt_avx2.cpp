// Purpose: radix-4 transforms in double precision, depth first once a block fits the first-level cache.
// Bounds ("within B", avx2.hpp), each checked for every pass: forward inputs of a pass are within 4.6 and its
//   intermediate values within 5.7; inverse inputs are within 2 and sums within 8. All are integers below 2^53.
// Source: the radix-4 blocking of Harvey 2014 section 5 and of FLINT's fft_small.
#include "ntt_avx2.hpp"

#include <algorithm>
#include <bit>

#include "avx2.hpp"

namespace kakuri::ckks::avx2 {

namespace {

constexpr std::size_t kCacheBlock = 1024;  // words: 8 KiB, and as much for the twiddles
constexpr std::size_t kTailWords = 3 * kLanes;

// Table layout, in doubles: (w, w/q) for the n/4 nodes before the last two stages; then for every four nodes of those
//   w1, w2, w3 as vectors, whose quotients cost no more to compute than to fetch. Forward and inverse one after the
//   other.
std::size_t direction_words(std::size_t n) { return n / 2 + n / 16 * kTailWords; }

void fill_direction(const NttTables& tables, const Factor* powers, u64* out) {
    const std::size_t n = tables.n();
    const u64 q = tables.modulus().q;
    const auto value = [&](std::size_t node) { return balanced(powers[node].w, q); };
    for (std::size_t i = 0; i < n / 4; ++i) {
        *out++ = std::bit_cast<u64>(value(i));
        *out++ = std::bit_cast<u64>(value(i) / static_cast<double>(q));
    }
    for (std::size_t k = 0; k < n / 4; k += kLanes) {
        const auto put = [&](auto node) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) *out++ = std::bit_cast<u64>(value(node(k + lane)));
        };
        put([&](std::size_t i) { return n / 4 + i; });
        put([&](std::size_t i) { return n / 2 + 2 * i; });
        put([&](std::size_t i) { return n / 2 + 2 * i + 1; });
    }
}

Buffer build_tables(const NttTables& tables) {
    Buffer out(2 * direction_words(tables.n()));
    fill_direction(tables, tables.powers(), out.data());
    fill_direction(tables, tables.inverse_powers(), out.data() + direction_words(tables.n()));
    return out;
}

inline Multiplier node(const u64* table, std::size_t i) {
    const double* pair = reinterpret_cast<const double*>(table) + 2 * i;
    return {_mm256_broadcast_sd(pair), _mm256_broadcast_sd(pair + 1)};
}

inline Multiplier tail_node(const u64* group, std::size_t i, const Field& f) {
    const Vector w = load_doubles(group + i * kLanes);
    return {w, _mm256_mul_pd(w, f.inverse)};
}

struct Quad {
    Vector x0, x1, x2, x3;
};

inline Quad transpose(Quad v) {
    const Vector a = _mm256_unpacklo_pd(v.x0, v.x1), b = _mm256_unpackhi_pd(v.x0, v.x1);
    const Vector c = _mm256_unpacklo_pd(v.x2, v.x3), d = _mm256_unpackhi_pd(v.x2, v.x3);
    return {_mm256_permute2f128_pd(a, c, 0x20), _mm256_permute2f128_pd(b, d, 0x20), _mm256_permute2f128_pd(a, c, 0x31),
            _mm256_permute2f128_pd(b, d, 0x31)};
}

template <bool kFromWords>
inline Vector load(const u64* p) {
    return kFromWords ? from_words(load_words(p)) : load_doubles(p);
}

// Cooley-Tukey, two stages. With kReduce the first entry is brought within 1/2 first. Several independent quads go side
// by side: the long latency of one hides behind the others.
template <bool kReduce, std::size_t kCount>
inline void forward_quads(Quad* v, Multiplier w1, Multiplier w2, Multiplier w3, const Field& f) {
    Vector s[kCount], t[kCount];
    for (std::size_t i = 0; i < kCount; ++i) s[i] = f.multiply(v[i].x2, w1);
    for (std::size_t i = 0; i < kCount; ++i) t[i] = f.multiply(v[i].x3, w1);
    if (kReduce)
        for (std::size_t i = 0; i < kCount; ++i) v[i].x0 = f.reduce(v[i].x0);
    for (std::size_t i = 0; i < kCount; ++i) {
        v[i].x2 = _mm256_sub_pd(v[i].x0, s[i]);
        v[i].x0 = _mm256_add_pd(v[i].x0, s[i]);
        v[i].x3 = _mm256_sub_pd(v[i].x1, t[i]);
        v[i].x1 = _mm256_add_pd(v[i].x1, t[i]);
    }
    for (std::size_t i = 0; i < kCount; ++i) s[i] = f.multiply(v[i].x1, w2);
    for (std::size_t i = 0; i < kCount; ++i) t[i] = f.multiply(v[i].x3, w3);
    for (std::size_t i = 0; i < kCount; ++i) {
        v[i].x1 = _mm256_sub_pd(v[i].x0, s[i]);
        v[i].x0 = _mm256_add_pd(v[i].x0, s[i]);
        v[i].x3 = _mm256_sub_pd(v[i].x2, t[i]);
        v[i].x2 = _mm256_add_pd(v[i].x2, t[i]);
    }
}

template <bool kReduce>
inline Quad forward_quad(Quad v, Multiplier w1, Multiplier w2, Multiplier w3, const Field& f) {
    forward_quads<kReduce, 1>(&v, w1, w2, w3, f);
    return v;
}

// Gentleman-Sande, two stages; the sum of all four is brought within 1/2.
inline Quad inverse_quad(Quad v, Multiplier w1, Multiplier w2, Multiplier w3, const Field& f) {
    const Vector y0 = _mm256_add_pd(v.x0, v.x1), y1 = f.multiply(_mm256_sub_pd(v.x0, v.x1), w2);
    const Vector y2 = _mm256_add_pd(v.x2, v.x3), y3 = f.multiply(_mm256_sub_pd(v.x2, v.x3), w3);
    return {f.reduce(_mm256_add_pd(y0, y2)), _mm256_add_pd(y1, y3), f.multiply(_mm256_sub_pd(y0, y2), w1),
            f.multiply(_mm256_sub_pd(y1, y3), w1)};
}

// One radix-4 pass over `nodes` nodes of `length` words each, the first being node `first` of its stage.
template <bool kReduce, bool kFromWords>
void forward_pass(const u64* table, u64* x, std::size_t first, std::size_t nodes, std::size_t length, const Field& f) {
    const std::size_t h = length / 4;
    for (std::size_t i = 0; i < nodes; ++i, x += length) {
        const std::size_t k = first + i;
        const Multiplier w1 = node(table, k), w2 = node(table, 2 * k), w3 = node(table, 2 * k + 1);
        const auto step = [&]<std::size_t kCount>(std::size_t j) {
            Quad v[kCount];
            for (std::size_t i = 0; i < kCount; ++i) {
                const u64* p = x + j + i * kLanes;
                v[i] = {load<kFromWords>(p), load<kFromWords>(p + h), load<kFromWords>(p + 2 * h),
                        load<kFromWords>(p + 3 * h)};
            }
            forward_quads<kReduce, kCount>(v, w1, w2, w3, f);
            for (std::size_t i = 0; i < kCount; ++i) {
                u64* p = x + j + i * kLanes;
                store_doubles(p, v[i].x0);
                store_doubles(p + h, v[i].x1);
                store_doubles(p + 2 * h, v[i].x2);
                store_doubles(p + 3 * h, v[i].x3);
            }
        };
        if (h == kLanes) {
            step.template operator()<1>(0);
            continue;
        }
        for (std::size_t j = 0; j < h; j += 2 * kLanes) step.template operator()<2>(j);
    }
}

void inverse_pass(const u64* table, u64* x, std::size_t first, std::size_t nodes, std::size_t length, const Field& f) {
    const std::size_t h = length / 4;
    for (std::size_t i = 0; i < nodes; ++i, x += length) {
        const std::size_t k = first + i;
        const Multiplier w1 = node(table, k), w2 = node(table, 2 * k), w3 = node(table, 2 * k + 1);
        for (std::size_t j = 0; j < h; j += kLanes) {
            const Quad out = inverse_quad({load_doubles(x + j), load_doubles(x + j + h), load_doubles(x + j + 2 * h),
                                           load_doubles(x + j + 3 * h)},
                                          w1, w2, w3, f);
            store_doubles(x + j, out.x0);
            store_doubles(x + j + h, out.x1);
            store_doubles(x + j + 2 * h, out.x2);
            store_doubles(x + j + 3 * h, out.x3);
        }
    }
}

// The last two stages on `length` words starting at node `first` of n/4: butterflies inside the vectors, by
// transposition.
void forward_tail(const u64* tail, u64* x, std::size_t first, std::size_t length, const Field& f) {
    const u64* group = tail + first / kLanes * kTailWords;
    for (std::size_t j = 0; j < length; j += 4 * kLanes, group += kTailWords) {
        Quad v = transpose(
            {load_doubles(x + j), load_doubles(x + j + 4), load_doubles(x + j + 8), load_doubles(x + j + 12)});
        v = forward_quad<true>(v, tail_node(group, 0, f), tail_node(group, 1, f), tail_node(group, 2, f), f);
        v = transpose(v);
        store_words(x + j, f.canonical(v.x0));
        store_words(x + j + 4, f.canonical(v.x1));
        store_words(x + j + 8, f.canonical(v.x2));
        store_words(x + j + 12, f.canonical(v.x3));
    }
}

void inverse_tail(const u64* tail, u64* x, std::size_t first, std::size_t length, const Field& f) {
    const u64* group = tail + first / kLanes * kTailWords;
    for (std::size_t j = 0; j < length; j += 4 * kLanes, group += kTailWords) {
        Quad v = transpose({load<true>(x + j), load<true>(x + j + 4), load<true>(x + j + 8), load<true>(x + j + 12)});
        v = transpose(inverse_quad(v, tail_node(group, 0, f), tail_node(group, 1, f), tail_node(group, 2, f), f));
        store_doubles(x + j, v.x0);
        store_doubles(x + j + 4, v.x1);
        store_doubles(x + j + 8, v.x2);
        store_doubles(x + j + 12, v.x3);
    }
}

// The passes from nodes of `length` words down to those of 16, on `words` words; `first` is the first node. Every
// second pass reduces; `reduce` says whether the next one does.
void forward_passes(const u64* table, u64* x, std::size_t first, std::size_t length, std::size_t shortest,
                    std::size_t words, bool& reduce, const Field& f) {
    for (; length > shortest; length /= 4, first *= 4, reduce = !reduce) {
        if (reduce)
            forward_pass<true, false>(table, x, first, words / length, length, f);
        else
            forward_pass<false, false>(table, x, first, words / length, length, f);
    }
}

}  // namespace

void forward(const NttTables& tables, u64* x) {
    const std::size_t n = tables.n();
    const u64* table = tables.doubles(build_tables).data();
    const u64* tail = table + n / 2;
    const Field f(tables.modulus().q);
    // The first pass converts; it does one stage where the number of stages is odd. Its inputs are within 1.
    std::size_t length = n / 4;  // words of a node in the next pass
    if (tables.log_n() % 2 != 0) {
        const Multiplier w = node(table, 1);
        length = n / 2;
        for (std::size_t j = 0; j < n / 2; j += kLanes) {
            const Vector a = load<true>(x + j);
            const Vector s = f.multiply(load<true>(x + j + n / 2), w);
            store_doubles(x + j, _mm256_add_pd(a, s));
            store_doubles(x + j + n / 2, _mm256_sub_pd(a, s));
        }
    } else {
        forward_pass<false, true>(table, x, 1, 1, n, f);
    }
    bool reduce = true;
    std::size_t block = length;
    while (block > kCacheBlock) block /= 4;
    forward_passes(table, x, n / length, length, block, n, reduce, f);
    const std::size_t step = std::max(block, 4 * kLanes);  // the tail works on whole groups
    for (std::size_t at = 0; at < n; at += step) {
        bool block_reduce = reduce;
        forward_passes(table, x + at, (n + at) / block, block, 4, step, block_reduce, f);
        forward_tail(tail, x + at, at / 4, step, f);
    }
}

void inverse(const NttTables& tables, u64* x, u64 factor) {
    const std::size_t n = tables.n();
    const u64* table = tables.doubles(build_tables).data() + direction_words(n);
    const u64* tail = table + n / 2;
    const Modulus& m = tables.modulus();
    const Field f(m.q);
    const bool odd = tables.log_n() % 2 != 0;
    // Blocks of a power of four words (twice that for odd log n), from the tail up to their own last pass.
    const std::size_t last = odd ? n / 2 : n / 4;  // words of the nodes that the final pass joins
    std::size_t block_length = 4;
    while (4 * block_length <= std::min(last, kCacheBlock)) block_length *= 4;
    const std::size_t step = std::max(block_length, 4 * kLanes);  // the tail works on whole groups
    for (std::size_t at = 0; at < n; at += step) {
        inverse_tail(tail, x + at, at / 4, step, f);
        for (std::size_t length = 16; length <= block_length; length *= 4)
            inverse_pass(table, x + at, (n + at) / length, block_length / length, length, f);
    }
    for (std::size_t length = 4 * block_length; length <= last; length *= 4)
        inverse_pass(table, x, n / length, n / length, length, f);

    const u64 scale = m.multiply(factor, tables.inverse_n().w);
    const Multiplier sum = multiplier(scale, m.q);
    const Multiplier difference = multiplier(m.multiply(scale, tables.inverse_powers()[1].w), m.q);
    if (odd) {
        for (std::size_t j = 0; j < n / 2; j += kLanes) {
            const Vector a = load_doubles(x + j), b = load_doubles(x + j + n / 2);
            store_words(x + j, f.canonical(f.multiply(_mm256_add_pd(a, b), sum)));
            store_words(x + j + n / 2, f.canonical(f.multiply(_mm256_sub_pd(a, b), difference)));
        }
        return;
    }
    const Multiplier w2 = node(table, 2), w3 = node(table, 3);
    const std::size_t h = n / 4;
    for (std::size_t j = 0; j < h; j += kLanes) {
        const Vector x0 = load_doubles(x + j), x1 = load_doubles(x + j + h);
        const Vector x2 = load_doubles(x + j + 2 * h), x3 = load_doubles(x + j + 3 * h);
        const Vector y0 = _mm256_add_pd(x0, x1), y1 = f.multiply(_mm256_sub_pd(x0, x1), w2);
        const Vector y2 = _mm256_add_pd(x2, x3), y3 = f.multiply(_mm256_sub_pd(x2, x3), w3);
        store_words(x + j, f.canonical(f.multiply(_mm256_add_pd(y0, y2), sum)));
        store_words(x + j + h, f.canonical(f.multiply(_mm256_add_pd(y1, y3), sum)));
        store_words(x + j + 2 * h, f.canonical(f.multiply(_mm256_sub_pd(y0, y2), difference)));
        store_words(x + j + 3 * h, f.canonical(f.multiply(_mm256_sub_pd(y1, y3), difference)));
    }
}

}  // namespace kakuri::ckks::avx2
