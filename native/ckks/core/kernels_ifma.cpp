// Purpose: the ifma path on AVX-512 registers.
// Does not guarantee: that this file's intrinsics were ever executed on the machine that built it; the same templates
//   on portable vectors (kernels_ifma_emulated.cpp) are tested everywhere, and tests/kernels_agree.cpp runs these where
//   the processor has AVX-512 IFMA.
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512ifma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC bug 105593: false reports inside its own intrinsics
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512ifma")
#endif

#include "ifma_kernels.hpp"

namespace kakuri::ckks {

namespace {

struct Vector512 {
    __m512i x;

    static Vector512 load(const u64* p) { return {_mm512_load_si512(p)}; }
    static Vector512 broadcast(u64 v) { return {_mm512_set1_epi64(static_cast<long long>(v))}; }
    void store(u64* p) const { _mm512_store_si512(p, x); }
    static Vector512 load_unaligned(const u64* p) { return {_mm512_loadu_si512(p)}; }
    void store_unaligned(u64* p) const { _mm512_storeu_si512(p, x); }
    static Vector512 reversed(Vector512 a) {
        return {_mm512_permutexvar_epi64(_mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7), a.x)};
    }
    static Vector512 smaller(Vector512 a, Vector512 b) { return {_mm512_min_epu64(a.x, b.x)}; }
    static Vector512 low52(Vector512 a) { return {_mm512_and_si512(a.x, _mm512_set1_epi64((1LL << 52) - 1))}; }
    static Vector512 shift_right_52(Vector512 a) { return {_mm512_srli_epi64(a.x, 52)}; }
    static Vector512 add_low(Vector512 sum, Vector512 a, Vector512 b) {
        return {_mm512_madd52lo_epu64(sum.x, a.x, b.x)};
    }
    static Vector512 add_high(Vector512 sum, Vector512 a, Vector512 b) {
        return {_mm512_madd52hi_epu64(sum.x, a.x, b.x)};
    }
    static Vector512 multiply_low(Vector512 a, Vector512 b) {
        return {_mm512_madd52lo_epu64(_mm512_setzero_si512(), a.x, b.x)};
    }
    static Vector512 multiply_high(Vector512 a, Vector512 b) {
        return {_mm512_madd52hi_epu64(_mm512_setzero_si512(), a.x, b.x)};
    }
    static Vector512 gather(const u64* base, const std::uint32_t* at) {
        return {_mm512_i32gather_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)), base, 8)};
    }
    static Vector512 interleave_low(Vector512 a, Vector512 b) { return {_mm512_unpacklo_epi64(a.x, b.x)}; }
    static Vector512 interleave_high(Vector512 a, Vector512 b) { return {_mm512_unpackhi_epi64(a.x, b.x)}; }
    static Vector512 even_pairs(Vector512 a, Vector512 b) { return {_mm512_shuffle_i64x2(a.x, b.x, 0x88)}; }
    static Vector512 odd_pairs(Vector512 a, Vector512 b) { return {_mm512_shuffle_i64x2(a.x, b.x, 0xdd)}; }
};

// Not friends inside the class: GCC does not apply the target pragma to those.
Vector512 operator+(Vector512 a, Vector512 b) { return {_mm512_add_epi64(a.x, b.x)}; }
Vector512 operator-(Vector512 a, Vector512 b) { return {_mm512_sub_epi64(a.x, b.x)}; }

}  // namespace

const Kernels* ifma_kernels() {
    static constexpr Kernels kTable = ifma::KernelFunctions<Vector512>::table("ifma");
    const bool available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
    return available ? &kTable : nullptr;
}

}  // namespace kakuri::ckks
