// Purpose: the pointwise loops, base conversion and key-switching sums in double precision over a vector type V.
// Guarantees: bit-identical to the scalar table; bounds are stated at each sum.
#pragma once

#include "double_linear.hpp"
#include "double_transform.hpp"
#include "double_weighted_sum.hpp"

namespace kakuri::ckks::lanes {

template <class V>
struct KernelFunctions {
    using Doubles = typename V::Doubles;
    using Words = typename V::Words;
    using Multiply = Multiplier<V>;
    static constexpr std::size_t kLanes = V::kLanes;

    static void forward(const NttTables& tables, u64* x) {
        if (tables.n() < kSmallestTransform) return scalar_kernels()->forward(tables, x);
        Transform<V>::forward(tables, x);
    }
    static void inverse(const NttTables& tables, u64* x, u64 factor) {
        if (tables.n() < kSmallestTransform) return scalar_kernels()->inverse(tables, x, factor);
        Transform<V>::inverse(tables, x, factor);
    }

    static void fold(const Modulus& m, u64* x, Factor w, std::size_t n) {
        const Field<V> f(m.q);
        const Multiply factor = Multiply::of(w.w, m.q);
        const auto pair = [&](std::size_t i) {
            const u64 a = x[i];
            const u64 b = x[n - i];
            x[i] = m.add(a, m.multiply(b, w));
            x[n - i] = m.add(b, m.multiply(a, w));
        };
        for (std::size_t i = 1; i < kLanes; ++i) pair(i);
        for (std::size_t i = kLanes; i < n / 2; i += kLanes) {
            u64* mirrored = x + (n - i - kLanes + 1);
            const Doubles a = residues<V>(x + i), b = V::reversed(V::from_words(V::load_unaligned(mirrored)));
            V::store_words(x + i, f.canonical(a + f.multiply(b, factor)));
            V::store_unaligned(mirrored, V::reversed(f.canonical(b + f.multiply(a, factor))));
        }
        pair(n / 2);
    }

    static void add(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
        const Words q = V::broadcast_word(m.q);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, V::reduce_sum(V::load_words(a + j) + V::load_words(b + j), q));
    }
    static void subtract(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
        const Words q = V::broadcast_word(m.q);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, V::reduce_difference(V::load_words(a + j) - V::load_words(b + j), q));
    }
    static void negate(const Modulus& m, u64* r, const u64* a, std::size_t n) {
        const Words q = V::broadcast_word(m.q), zero = V::broadcast_word(0);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, V::reduce_difference(zero - V::load_words(a + j), q));
    }
    static void add_scalar(const Modulus& m, u64* r, const u64* a, u64 s, std::size_t n) {
        const Words q = V::broadcast_word(m.q), scalar = V::broadcast_word(s);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, V::reduce_sum(V::load_words(a + j) + scalar, q));
    }
    static void multiply(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
        const Field<V> f(m.q);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, f.canonical_small(f.multiply(residues<V>(a + j), residues<V>(b + j))));
    }
    static void multiply_scalar(const Modulus& m, u64* r, const u64* a, Factor w, std::size_t n) {
        const Field<V> f(m.q);
        const Multiply factor = Multiply::of(w.w, m.q);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, f.canonical_small(f.multiply(residues<V>(a + j), factor)));
    }
    static void subtract_multiply(const Modulus& m, u64* r, const u64* a, const u64* b, Factor w, std::size_t n) {
        const Field<V> f(m.q);
        const Multiply factor = Multiply::of(w.w, m.q);
        for (std::size_t j = 0; j < n; j += kLanes)
            V::store_words(r + j, f.canonical_small(f.multiply(residues<V>(a + j) - residues<V>(b + j), factor)));
    }
    static void tensor(const Modulus& m, u64* r0, u64* r1, u64* r2, const u64* a0, const u64* a1, const u64* b0,
                       const u64* b1, std::size_t n) {
        const Field<V> f(m.q);
        for (std::size_t j = 0; j < n; j += kLanes) {
            const Doubles x0 = residues<V>(a0 + j), x1 = residues<V>(a1 + j);
            const Doubles y0 = residues<V>(b0 + j), y1 = residues<V>(b1 + j);
            V::store_words(r0 + j, f.canonical_small(f.multiply(x0, y0)));
            V::store_words(r1 + j, f.canonical(f.multiply(x0, y1) + f.multiply(x1, y0)));
            V::store_words(r2 + j, f.canonical_small(f.multiply(x1, y1)));
        }
    }
    static void permute(u64* r, const u64* a, const std::uint32_t* permutation, std::size_t n) {
        for (std::size_t j = 0; j < n; j += kLanes) V::store_words(r + j, V::permuted(a, permutation + j));
    }

    // x, or x - p above (p - 1)/2, below 2^49 in size. Times a balanced factor that is a quotient below 2^48, whatever q is:
    // products are within 1/2 + 1/16.
    struct CentredInput {
        const u64* words;
        Doubles prime;
        Doubles half;
        Multiply weight;

        CentredInput(const ConvertTerm& term, u64 q)
            : words(term.input),
              prime(V::broadcast(static_cast<double>(term.prime))),
              half(V::broadcast(static_cast<double>((term.prime - 1) / 2))),
              weight(Multiply::of(term.weight.w, q)) {}
        Doubles at(std::size_t j) const { return V::subtract_if_above(residues<V>(words + j), half, prime); }
    };

    static void convert(const Modulus& m, u64* r, const ConvertTerm* terms, std::size_t count, u64, std::size_t n) {
        const Field<V> f(m.q);
        if (count == 1 && terms[0].weight.w == 1) {
            const CentredInput input(terms[0], m.q);
            for (std::size_t j = 0; j < n; j += kLanes) V::store_words(r + j, f.canonical(input.at(j)));
            return;
        }
        convert_some(f, m.q, r, terms, count, false, n);
    }

    // Up to four inputs in one pass, with everything about them in registers.
    static void convert_some(const Field<V>& f, u64 q, u64* r, const ConvertTerm* terms, std::size_t count, bool add,
                             std::size_t n) {
        switch (count) {
            case 1:
                return convert_exactly<1>(f, q, r, terms, add, n);
            case 2:
                return convert_exactly<2>(f, q, r, terms, add, n);
            case 3:
                return convert_exactly<3>(f, q, r, terms, add, n);
            case 4:
                return convert_exactly<4>(f, q, r, terms, add, n);
            default:
                convert_exactly<4>(f, q, r, terms, add, n);
                return convert_some(f, q, r, terms + 4, count - 4, true, n);
        }
    }

    template <std::size_t kCount>
    static void convert_exactly(const Field<V>& f, u64 q, u64* r, const ConvertTerm* terms, bool add, std::size_t n) {
        const auto inputs = [&]<std::size_t... kAt>(std::index_sequence<kAt...>) {
            return std::array<CentredInput, kCount>{CentredInput(terms[kAt], q)...};
        }(std::make_index_sequence<kCount>());
        for (std::size_t j = 0; j < n; j += kLanes) {
            Doubles sum = add ? residues<V>(r + j) : V::broadcast(0);
            for (std::size_t i = 0; i < kCount; ++i) sum = sum + f.multiply(inputs[i].at(j), inputs[i].weight);
            V::store_words(r + j, f.canonical(sum));
        }
    }

    static void dot(const Modulus& m, u64* r, const ProductTerm* terms, std::size_t count, std::size_t n) {
        // Sixteen coefficients per pass over the terms: two cache lines of each operand, the sums in registers.
        constexpr std::size_t kTile = 16 / kLanes;
        const Field<V> f(m.q);
        for (std::size_t j = 0; j < n; j += kTile * kLanes) {
            Doubles sums[kTile];
            for (Doubles& sum : sums) sum = V::broadcast(0);
            for (std::size_t i = 0; i < count; ++i) {
                for (std::size_t t = 0; t < kTile; ++t) {
                    const std::size_t at = j + t * kLanes;
                    sums[t] = sums[t] + f.multiply(residues<V>(terms[i].a + at), residues<V>(terms[i].b + at));
                }
                if (i % kProductsPerReduction == kProductsPerReduction - 1)
                    for (Doubles& sum : sums) sum = f.reduce(sum);
            }
            for (std::size_t t = 0; t < kTile; ++t) V::store_words(r + j + t * kLanes, f.canonical(sums[t]));
        }
    }

    static constexpr Kernels table(const char* name) {
        return {
            name,
            forward,
            inverse,
            fold,
            add,
            subtract,
            negate,
            add_scalar,
            multiply,
            multiply_scalar,
            subtract_multiply,
            tensor,
            permute,
            convert,
            dot,
            WeightedSum<V>::run,
            rotate<V>,
            add_rotation<V>,
            pack_rotation<V>,
            diagonal_sums<V>,
        };
    }
};

}  // namespace kakuri::ckks::lanes
