// Purpose: the kernel table on eight 52-bit words at a time, over any vector type V with IFMA's operations.
// Guarantees: bit-identical to the scalar table. Sums keep the low and high halves of 104-bit products apart: up to
//   kTermsAtOnce terms of lows below 2^52 and highs below 2^48 fit 64-bit lanes, and are reduced once.
#pragma once

#include <vector>

#include "ifma_transform.hpp"
#include "kernels.hpp"
#include "linear_scalar.hpp"

namespace kakuri::ckks::ifma {

inline constexpr std::size_t kTermsAtOnce = 2048;
inline constexpr std::size_t kOutputsAtOnce = 4;
inline constexpr std::size_t kTileWords = 64;  // coefficients of every input packed side by side

template <class V>
struct KernelFunctions {
    using T = Transform<V>;
    using Field = typename T::Field;
    using Multiplier = typename T::Multiplier;

    // A sum of products in two halves, and how to bring it to [0, q).
    struct Sum {
        V low = V::broadcast(0);
        V high = V::broadcast(0);
        void add_product(V a, V b) {
            low = V::add_low(low, a, b);
            high = V::add_high(high, a, b);
        }
    };
    struct Reduction {
        Field f;
        V q4;
        Multiplier one, two_52, two_104;
        explicit Reduction(const Modulus& m)
            : f(m.q),
              q4(V::broadcast(4 * m.q)),
              one(T::multiplier(1, m.q)),
              two_52(T::multiplier(m.power(2, 52), m.q)),
              two_104(T::multiplier(m.power(2, 104), m.q)) {}
        V operator()(Sum s) const {
            const V high = s.high + V::shift_right_52(s.low);
            const V x = f.multiply(V::low52(s.low), one) + f.multiply(V::low52(high), two_52) +
                        f.multiply(V::shift_right_52(high), two_104);  // below 6q
            return f.canonical(V::smaller(x, x - q4));
        }
    };

    static void forward(const NttTables& tables, u64* x) {
        if (tables.n() < kSmallestTransform) return scalar_kernels()->forward(tables, x);
        T::forward(tables, x);
    }
    static void inverse(const NttTables& tables, u64* x, u64 factor) {
        if (tables.n() < kSmallestTransform) return scalar_kernels()->inverse(tables, x, factor);
        T::inverse(tables, x, factor);
    }

    static void scalar_fold(const Modulus& m, u64* x, Factor w, std::size_t n) { scalar_kernels()->fold(m, x, w, n); }

    static void add(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
        const V q = V::broadcast(m.q);
        for (std::size_t j = 0; j < n; j += kWidth) {
            const V s = V::load(a + j) + V::load(b + j);
            V::smaller(s, s - q).store(r + j);
        }
    }
    static void subtract(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
        const V q = V::broadcast(m.q);
        for (std::size_t j = 0; j < n; j += kWidth) {
            const V d = V::load(a + j) - V::load(b + j);
            V::smaller(d, d + q).store(r + j);
        }
    }
    static void negate(const Modulus& m, u64* r, const u64* a, std::size_t n) {
        const V q = V::broadcast(m.q), zero = V::broadcast(0);
        for (std::size_t j = 0; j < n; j += kWidth) {
            const V d = zero - V::load(a + j);
            V::smaller(d, d + q).store(r + j);
        }
    }
    static void add_scalar(const Modulus& m, u64* r, const u64* a, u64 scalar, std::size_t n) {
        const V q = V::broadcast(m.q), b = V::broadcast(scalar);
        for (std::size_t j = 0; j < n; j += kWidth) {
            const V s = V::load(a + j) + b;
            V::smaller(s, s - q).store(r + j);
        }
    }
    static void multiply(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
        const Reduction reduce(m);
        for (std::size_t j = 0; j < n; j += kWidth) {
            Sum s;
            s.add_product(V::load(a + j), V::load(b + j));
            reduce(s).store(r + j);
        }
    }
    static void multiply_scalar(const Modulus& m, u64* r, const u64* a, Factor w, std::size_t n) {
        const Field f(m.q);
        const Multiplier factor = T::multiplier(w.w, m.q);
        for (std::size_t j = 0; j < n; j += kWidth) f.canonical(f.multiply(V::load(a + j), factor)).store(r + j);
    }
    static void subtract_multiply(const Modulus& m, u64* r, const u64* a, const u64* b, Factor w, std::size_t n) {
        const Field f(m.q);
        const Multiplier factor = T::multiplier(w.w, m.q);
        for (std::size_t j = 0; j < n; j += kWidth)
            f.canonical(f.multiply(V::load(a + j) - V::load(b + j) + f.q, factor)).store(r + j);
    }
    static void tensor(const Modulus& m, u64* r0, u64* r1, u64* r2, const u64* a0, const u64* a1, const u64* b0,
                       const u64* b1, std::size_t n) {
        const Reduction reduce(m);
        for (std::size_t j = 0; j < n; j += kWidth) {
            const V x0 = V::load(a0 + j), x1 = V::load(a1 + j), y0 = V::load(b0 + j), y1 = V::load(b1 + j);
            Sum first, middle, last;
            first.add_product(x0, y0);
            middle.add_product(x0, y1);
            middle.add_product(x1, y0);
            last.add_product(x1, y1);
            reduce(first).store(r0 + j);
            reduce(middle).store(r1 + j);
            reduce(last).store(r2 + j);
        }
    }
    static void permute(u64* r, const u64* a, const std::uint32_t* permutation, std::size_t n) {
        for (std::size_t j = 0; j < n; j += kWidth) V::gather(a, permutation + j).store(r + j);
    }

    static V shifted(const ConvertTerm& term, std::size_t j) {
        const V prime = V::broadcast(term.prime);
        const V z = V::load(term.input + j) + V::broadcast((term.prime - 1) / 2);
        return V::smaller(z, z - prime);
    }
    static void convert(const Modulus& m, u64* r, const ConvertTerm* terms, std::size_t count, u64 constant,
                        std::size_t n) {
        const Reduction reduce(m);
        const V offset = V::broadcast(constant);
        if (count == 1 && terms[0].weight.w == 1) {
            for (std::size_t j = 0; j < n; j += kWidth)
                reduce.f.canonical(reduce.f.multiply(shifted(terms[0], j) + offset, reduce.one)).store(r + j);
            return;
        }
        for (std::size_t j = 0; j < n; j += kWidth) {
            Sum s;
            s.low = offset;
            for (std::size_t i = 0; i < count; ++i)
                s.add_product(shifted(terms[i], j), V::broadcast(terms[i].weight.w));
            reduce(s).store(r + j);
        }
    }

    static void inner_product(const Modulus& m, u64* r0, u64* r1, const InnerTerm* terms, std::size_t count,
                              const std::uint32_t* permutation, std::size_t n) {
        const Reduction reduce(m);
        for (std::size_t j = 0; j < n; j += kWidth) {
            Sum s0, s1;
            for (std::size_t d = 0; d < count; ++d) {
                const V x =
                    permutation != nullptr ? V::gather(terms[d].digit, permutation + j) : V::load(terms[d].digit + j);
                s0.add_product(x, V::load(terms[d].key0 + j));
                s1.add_product(x, V::load(terms[d].key1 + j));
            }
            reduce(s0).store(r0 + j);
            reduce(s1).store(r1 + j);
        }
    }

    static void dot(const Modulus& m, u64* r, const ProductTerm* terms, std::size_t count, std::size_t n) {
        const Reduction reduce(m);
        for (std::size_t j = 0; j < n; j += kWidth) {
            Sum s;
            for (std::size_t first = 0; first < count; first += kTermsAtOnce) {
                const std::size_t end = std::min(count, first + kTermsAtOnce);
                for (std::size_t i = first; i < end; ++i)
                    s.add_product(V::load(terms[i].a + j), V::load(terms[i].b + j));
                if (end < count) s = {reduce(s), V::broadcast(0)};
            }
            reduce(s).store(r + j);
        }
    }

    // factors: weights as residues, interleaved by group of outputs. The tile holds words of every input side by side.
    template <std::size_t kOutputs>
    static void sum_group(const Reduction& reduce, u64* const* outputs, const u64* tile, const u64* factors,
                          std::size_t count, std::size_t start, std::size_t words, bool accumulate) {
        for (std::size_t j = 0; j < words; j += kWidth) {
            Sum sums[kOutputs];
            if (accumulate)
                for (std::size_t o = 0; o < kOutputs; ++o) sums[o].low = V::load(outputs[o] + start + j);
            for (std::size_t i = 0; i < count; ++i) {
                const V x = V::load(tile + i * kTileWords + j);
                for (std::size_t o = 0; o < kOutputs; ++o)
                    sums[o].add_product(x, V::broadcast(factors[i * kOutputs + o]));
            }
            for (std::size_t o = 0; o < kOutputs; ++o) reduce(sums[o]).store(outputs[o] + start + j);
        }
    }

    static void weighted_sum(const Modulus& m, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
                             const i64* weights, std::size_t count, std::size_t n) {
        const Reduction reduce(m);
        const std::size_t whole = output_count / kOutputsAtOnce * kOutputsAtOnce;
        std::vector<u64> factors(output_count * count);  // [chunk][group][input][output of the group]
        const auto group_size = [&](std::size_t o) { return o < whole ? kOutputsAtOnce : std::size_t{1}; };
        for (std::size_t o = 0; o < output_count; o += group_size(o))
            for (std::size_t i = 0; i < count; ++i)
                for (std::size_t g = 0; g < group_size(o); ++g)
                    factors[o * count + i * group_size(o) + g] = m.reduce_signed(weights[(o + g) * count + i]);
        Buffer tile(kTileWords * std::min(count, kTermsAtOnce));
        for (std::size_t start = 0; start < n; start += kTileWords) {
            const std::size_t words = std::min(kTileWords, n - start);
            for (std::size_t first = 0; first < count; first += kTermsAtOnce) {
                const std::size_t size = std::min(kTermsAtOnce, count - first);
                for (std::size_t i = 0; i < size; ++i)
                    std::memcpy(tile.data() + i * kTileWords, inputs[first + i] + start, words * sizeof(u64));
                for (std::size_t o = 0; o < output_count; o += group_size(o)) {
                    const u64* factor = &factors[o * count + first * group_size(o)];
                    if (o < whole)
                        sum_group<kOutputsAtOnce>(reduce, outputs + o, tile.data(), factor, size, start, words,
                                                  first > 0);
                    else
                        sum_group<1>(reduce, outputs + o, tile.data(), factor, size, start, words, first > 0);
                }
            }
        }
    }

    static constexpr Kernels table(const char* name) {
        return {name,     forward,         inverse,  scalar_fold,          add,    subtract, negate,  add_scalar,
                multiply, multiply_scalar, subtract_multiply, tensor, permute,  convert, inner_product,
                dot,      weighted_sum, scalar::add_rotation, scalar::pack_rotation, scalar::diagonal_sums};
    }
};

}  // namespace kakuri::ckks::ifma
