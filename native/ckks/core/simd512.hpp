// Purpose: eight lanes of AVX-512 F and DQ, as the vector type of the double-precision templates (double_*.hpp).
//   simd256.hpp says what each operation is.
#pragma once

#include <immintrin.h>

#include "kernels.hpp"
#include "target_avx512.hpp"

namespace kakuri::ckks {

struct Simd512 {
    using Doubles = __m512d;
    using Words = __m512i;
    struct Quad {
        Doubles x0, x1, x2, x3;
    };
    static constexpr std::size_t kLanes = 8;
    static constexpr std::size_t kNodeOfLane[kLanes] = {0, 1, 4, 5, 2, 3, 6, 7};

    static Doubles broadcast(double x) { return _mm512_set1_pd(x); }
    static Words broadcast_word(u64 x) { return _mm512_set1_epi64(static_cast<i64>(x)); }
    static Doubles load(const u64* p) { return _mm512_load_pd(p); }
    static void store(u64* p, Doubles x) { _mm512_store_pd(p, x); }
    static Words load_words(const u64* p) { return _mm512_load_si512(p); }
    static void store_words(u64* p, Words x) { _mm512_store_si512(p, x); }
    static Words load_unaligned(const u64* p) { return _mm512_loadu_si512(p); }
    static void store_unaligned(u64* p, Words x) { _mm512_storeu_si512(p, x); }

    static Doubles multiply_add(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
    static Doubles multiply_subtract(Doubles a, Doubles b, Doubles c) { return _mm512_fmsub_pd(a, b, c); }
    static Doubles subtract_product(Doubles c, Doubles a, Doubles b) { return _mm512_fnmadd_pd(a, b, c); }
    static Doubles nearest(Doubles x) {
        return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static Doubles add_if_negative(Doubles x, Doubles q) {
        return _mm512_mask_add_pd(x, _mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_LT_OQ), x, q);
    }
    static Doubles subtract_if_above(Doubles x, Doubles bound, Doubles q) {
        return _mm512_mask_sub_pd(x, _mm512_cmp_pd_mask(x, bound, _CMP_GT_OQ), x, q);
    }
    static Words reduce_sum(Words x, Words q) { return _mm512_min_epu64(x, x - q); }
    static Words reduce_difference(Words x, Words q) { return _mm512_min_epu64(x, x + q); }

    static Doubles from_words(Words x) { return _mm512_cvtepi64_pd(x); }
    static Words to_words(Doubles x) { return _mm512_cvtpd_epi64(x); }
    static Words shift_right(Words x, int bits) { return _mm512_srli_epi64(x, static_cast<unsigned>(bits)); }
    static Words shift_left(Words x, int bits) { return _mm512_slli_epi64(x, static_cast<unsigned>(bits)); }
    static Words multiply_halves(Words a, Words b) { return _mm512_mul_epi32(a, b); }

    static Words reversed(Words x) { return _mm512_permutexvar_epi64(descending(), x); }
    static Doubles reversed(Doubles x) { return _mm512_permutexvar_pd(descending(), x); }
    // Aligned groups of eight positions come from aligned groups too.
    static Words permuted(const u64* a, const std::uint32_t* permutation) {
        const Words order =
            _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(permutation)));
        return _mm512_permutexvar_epi64(order, load_words(a + (permutation[0] & ~7u)));  // by the low three bits
    }

    // Vectors hold [x0 x1] [x2 x3] of one node of sixteen words, then those of the next; and back.
    static Quad split_nodes(Quad v) {
        return {_mm512_shuffle_f64x2(v.x0, v.x2, 0x44), _mm512_shuffle_f64x2(v.x0, v.x2, 0xee),
                _mm512_shuffle_f64x2(v.x1, v.x3, 0x44), _mm512_shuffle_f64x2(v.x1, v.x3, 0xee)};
    }
    static Quad join_nodes(Quad v) {
        return {_mm512_shuffle_f64x2(v.x0, v.x1, 0x44), _mm512_shuffle_f64x2(v.x2, v.x3, 0x44),
                _mm512_shuffle_f64x2(v.x0, v.x1, 0xee), _mm512_shuffle_f64x2(v.x2, v.x3, 0xee)};
    }
    // p[0] for the first node and p[next] for the second.
    static Doubles broadcast_nodes(const double* p, std::size_t next) {
        return _mm512_mask_broadcastsd_pd(_mm512_set1_pd(p[0]), 0xf0, _mm_load_sd(p + next));
    }
    static Quad transpose(Quad v) {
        const Doubles a = _mm512_unpacklo_pd(v.x0, v.x1), b = _mm512_unpackhi_pd(v.x0, v.x1);
        const Doubles c = _mm512_unpacklo_pd(v.x2, v.x3), d = _mm512_unpackhi_pd(v.x2, v.x3);
        return {_mm512_shuffle_f64x2(a, c, 0x88), _mm512_shuffle_f64x2(b, d, 0x88),
                _mm512_shuffle_f64x2(a, c, 0xdd), _mm512_shuffle_f64x2(b, d, 0xdd)};
    }
    static Quad transpose_back(Quad v) {
        const Words first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
        const Words second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
        const Doubles a = _mm512_unpacklo_pd(v.x0, v.x1), b = _mm512_unpackhi_pd(v.x0, v.x1);
        const Doubles c = _mm512_unpacklo_pd(v.x2, v.x3), d = _mm512_unpackhi_pd(v.x2, v.x3);
        return {_mm512_permutex2var_pd(a, first, c), _mm512_permutex2var_pd(b, first, d),
                _mm512_permutex2var_pd(a, second, c), _mm512_permutex2var_pd(b, second, d)};
    }

private:
    static Words descending() { return _mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7); }
};

}  // namespace kakuri::ckks
