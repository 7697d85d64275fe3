// Purpose: four lanes of AVX2 and FMA, as the vector type of the double-precision templates (double_*.hpp).
#pragma once

#include <immintrin.h>

#include "kernels.hpp"
#include "target_avx2.hpp"

namespace kakuri::ckks {

struct Simd256 {
    using Doubles = __m256d;
    using Words = __m256i;
    struct Quad {
        Doubles x0, x1, x2, x3;
    };
    static constexpr std::size_t kLanes = 4;
    // Which node of four words stands in which lane after transpose().
    static constexpr std::size_t kNodeOfLane[kLanes] = {0, 1, 2, 3};

    static Doubles broadcast(double x) { return _mm256_set1_pd(x); }
    static Words broadcast_word(u64 x) { return _mm256_set1_epi64x(static_cast<i64>(x)); }
    static Doubles load(const u64* p) { return _mm256_load_pd(reinterpret_cast<const double*>(p)); }
    static void store(u64* p, Doubles x) { _mm256_store_pd(reinterpret_cast<double*>(p), x); }
    static Words load_words(const u64* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store_words(u64* p, Words x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }
    static Words load_unaligned(const u64* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store_unaligned(u64* p, Words x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }

    // a b + c, a b - c and c - a b, each rounded once
    static Doubles multiply_add(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
    static Doubles multiply_subtract(Doubles a, Doubles b, Doubles c) { return _mm256_fmsub_pd(a, b, c); }
    static Doubles subtract_product(Doubles c, Doubles a, Doubles b) { return _mm256_fnmadd_pd(a, b, c); }
    static Doubles nearest(Doubles x) { return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Doubles add_if_negative(Doubles x, Doubles q) {
        return x + _mm256_and_pd(q, _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ));
    }
    static Doubles subtract_if_above(Doubles x, Doubles bound, Doubles q) {
        return x - _mm256_and_pd(q, _mm256_cmp_pd(x, bound, _CMP_GT_OQ));
    }
    // x in [0, 2q) and x in [-q, q), to [0, q)
    static Words reduce_sum(Words x, Words q) { return select_by_sign(x - q, x, x - q); }
    static Words reduce_difference(Words x, Words q) { return select_by_sign(x, x + q, x); }

    // Words below 2^52 to doubles and back, by way of the bits of 2^52 + x.
    static Doubles from_words(Words x) {
        return _mm256_castsi256_pd(_mm256_or_si256(x, exponent())) - broadcast(0x1p52);
    }
    static Words to_words(Doubles x) {
        return _mm256_xor_si256(_mm256_castpd_si256(x + broadcast(0x1p52)), exponent());
    }
    static Words shift_right(Words x, int bits) { return _mm256_srli_epi64(x, bits); }
    static Words shift_left(Words x, int bits) { return _mm256_slli_epi64(x, bits); }
    // The product of the lower halves as signed 32-bit numbers.
    static Words multiply_halves(Words a, Words b) { return _mm256_mul_epi32(a, b); }

    static Words reversed(Words x) { return _mm256_permute4x64_epi64(x, 0x1b); }
    static Doubles reversed(Doubles x) { return _mm256_permute4x64_pd(x, 0x1b); }
    // a[permutation[0]], a[permutation[1]] ... for the permutation of a rotation: an aligned group of four positions
    // comes from an aligned group (automorphism.hpp), whose order follows from the first entry c: position i takes
    // br((br(i) + br(c)) mod 4), br reversing two bits.
    static Words permuted(const u64* a, const std::uint32_t* permutation) {
        const std::uint32_t first = permutation[0];
        const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kGroupOrder[first & 3]));
        return _mm256_permutevar8x32_epi32(load_words(a + (first & ~3u)), order);
    }

    // One vector is a quarter of a node of sixteen words.
    static Quad split_nodes(Quad v) { return v; }
    static Quad join_nodes(Quad v) { return v; }
    static Doubles broadcast_nodes(const double* p, std::size_t) { return _mm256_broadcast_sd(p); }
    // Words 0, 1, 2, 3 of the nodes of four words that the vectors hold, and back.
    static Quad transpose(Quad v) {
        const Doubles a = _mm256_unpacklo_pd(v.x0, v.x1), b = _mm256_unpackhi_pd(v.x0, v.x1);
        const Doubles c = _mm256_unpacklo_pd(v.x2, v.x3), d = _mm256_unpackhi_pd(v.x2, v.x3);
        return {_mm256_permute2f128_pd(a, c, 0x20), _mm256_permute2f128_pd(b, d, 0x20),
                _mm256_permute2f128_pd(a, c, 0x31), _mm256_permute2f128_pd(b, d, 0x31)};
    }
    static Quad transpose_back(Quad v) { return transpose(v); }

private:
    alignas(32) static constexpr std::int32_t kGroupOrder[4][8] = {
        {0, 1, 2, 3, 4, 5, 6, 7},
        {2, 3, 0, 1, 6, 7, 4, 5},
        {4, 5, 6, 7, 2, 3, 0, 1},
        {6, 7, 4, 5, 0, 1, 2, 3},
    };
    static Words exponent() { return broadcast_word(0x4330000000000000); }
    static Words select_by_sign(Words sign, Words negative, Words positive) {
        return _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(positive), _mm256_castsi256_pd(negative),
                                                    _mm256_castsi256_pd(sign)));
    }
};

}  // namespace kakuri::ckks
