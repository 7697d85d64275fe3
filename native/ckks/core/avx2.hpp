// Purpose: modular arithmetic on four doubles at once, for q < 2^50.
// Guarantees: residues are integers held exactly, |x| <= 2^53; products are exact modulo q. "x is within B" means |x|
//   <= B q.
// Requires: rounding to nearest and no contraction of separate operations (-ffp-contract=off).
// Source: the error-free product h + l = a b by one FMA (Dekker 1971; Ogita, Rump and Oishi 2005) with the quotient
//   rounded from h/q, as in FLINT's fft_small (Schultz, 2022). The rounded quotient errs by at most B/8 on top of its
//   half unit (3B/16 where w/q is itself a product with 1/q), so multiply() of x within B is within 1/2 + B/8, provided
//   that B <= 8 and the factor is within 1/2.
#pragma once

#include <immintrin.h>

#include "kernels.hpp"
#include "target_avx2.hpp"

namespace kakuri::ckks::avx2 {

using Vector = __m256d;

inline constexpr std::size_t kLanes = 4;

static inline Vector broadcast(double x) { return _mm256_set1_pd(x); }
static inline Vector load_doubles(const u64* p) { return _mm256_load_pd(reinterpret_cast<const double*>(p)); }
static inline void store_doubles(u64* p, Vector x) { _mm256_store_pd(reinterpret_cast<double*>(p), x); }

static inline __m256i load_words(const u64* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
static inline void store_words(u64* p, __m256i x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }

// Words below 2^52 to doubles and back, by way of the bits of 2^52 + x.
static inline __m256i two_to_52_bits() { return _mm256_set1_epi64x(0x4330000000000000); }
static inline Vector from_words(__m256i x) {
    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(x, two_to_52_bits())), broadcast(0x1p52));
}
static inline __m256i to_words(Vector x) {
    return _mm256_xor_si256(_mm256_castpd_si256(_mm256_add_pd(x, broadcast(0x1p52))), two_to_52_bits());
}

static inline Vector round(Vector x) { return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// A factor in balanced form with its quotient by q.
struct Multiplier {
    Vector w;
    Vector over_q;
};

static inline double balanced(u64 w, u64 q) { return w > q / 2 ? -static_cast<double>(q - w) : static_cast<double>(w); }
static inline Multiplier multiplier(u64 w, u64 q) {
    const double b = balanced(w, q);
    return {broadcast(b), broadcast(b / static_cast<double>(q))};
}

struct Field {
    Vector q;
    Vector inverse;

    explicit Field(u64 prime)
        : q(broadcast(static_cast<double>(prime))), inverse(broadcast(1.0 / static_cast<double>(prime))) {}

    Vector multiply(Vector x, Multiplier f) const {
        const Vector quotient = round(_mm256_mul_pd(x, f.over_q));
        return exact_remainder(x, f.w, quotient);
    }
    // Both factors unknown; a b within 2^102.
    Vector multiply(Vector a, Vector b) const {
        const Vector high = _mm256_mul_pd(a, b);
        const Vector low = _mm256_fmsub_pd(a, b, high);
        const Vector quotient = round(_mm256_mul_pd(high, inverse));
        return _mm256_add_pd(_mm256_fnmadd_pd(quotient, q, high), low);
    }
    // Within 1/2 (and a rounding error of 2^-49).
    Vector reduce(Vector x) const { return _mm256_fnmadd_pd(round(_mm256_mul_pd(x, inverse)), q, x); }
    // Within 1 to [0, q).
    Vector to_positive(Vector x) const {
        return _mm256_add_pd(x, _mm256_and_pd(q, _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ)));
    }
    // Any residue to a canonical word.
    __m256i canonical(Vector x) const { return to_words(to_positive(reduce(x))); }
    // Residues within 1 (not q itself) to canonical words.
    __m256i canonical_small(Vector x) const { return to_words(to_positive(x)); }

private:
    Vector exact_remainder(Vector x, Vector w, Vector quotient) const {
        const Vector high = _mm256_mul_pd(x, w);
        const Vector low = _mm256_fmsub_pd(x, w, high);
        return _mm256_add_pd(_mm256_fnmadd_pd(quotient, q, high), low);
    }
};

}  // namespace kakuri::ckks::avx2
