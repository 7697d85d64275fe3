// Purpose: the kernel table on eight 52-bit words at a time, over any vector type V with IFMA's operations.
// Guarantees: bit-identical to the scalar table. Sums keep the low and high halves of 104-bit products apart: up to
//   kTermsAtOnce terms of lows below 2^52 and highs below 2^48 fit 64-bit lanes, and are reduced once.
#pragma once

#include <vector>

#include "ifma_linear.hpp"
#include "kernels.hpp"

namespace kakuri::ckks::ifma {

inline constexpr std::size_t kOutputsAtOnce = 4;
inline constexpr std::size_t kTileWords = 64;  // coefficients of every input packed side by side

template <class V>
struct KernelFunctions {
    using T = Transform<V>;
    using Field = typename T::Field;
    using Multiplier = typename T::Multiplier;

    using Sum = ifma::Sum<V>;
    using Reduction = ifma::Reduction<V>;

    static void forward(const NttTables& tables, u64* x) {
        if (tables.n() < kSmallestTransform) return scalar_kernels()->forward(tables, x);
        T::forward(tables, x);
    }
    static void inverse(const NttTables& tables, u64* x, u64 factor) {
        if (tables.n() < kSmallestTransform) return scalar_kernels()->inverse(tables, x, factor);
        T::inverse(tables, x, factor);
    }

    static void fold(const Modulus& m, u64* x, Factor w, std::size_t n) {
        const Field f(m.q);
        const Multiplier factor = T::multiplier(w.w, m.q);
        const auto sum = [&](V a, V b) { return f.canonical(a + f.multiply(b, factor)); };
        const auto pair = [&](std::size_t i) {
            const u64 a = x[i];
            const u64 b = x[n - i];
            x[i] = m.add(a, m.multiply(b, w));
            x[n - i] = m.add(b, m.multiply(a, w));
        };
        for (std::size_t i = 1; i < kWidth; ++i) pair(i);
        for (std::size_t i = kWidth; i < n / 2; i += kWidth) {
            u64* mirrored = x + (n - i - kWidth + 1);
            const V a = V::load(x + i), b = V::reversed(V::load_unaligned(mirrored));
            sum(a, b).store(x + i);
            V::reversed(sum(b, a)).store_unaligned(mirrored);
        }
        pair(n / 2);
    }

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
        return {name,     forward,         inverse,           fold,   add,    subtract, negate,  add_scalar,
                multiply, multiply_scalar, subtract_multiply, tensor, permute,  convert, dot,
                weighted_sum, rotate<V>, add_rotation<V>, pack_rotation<V>, diagonal_sums<V>};
    }
};

}  // namespace kakuri::ckks::ifma
