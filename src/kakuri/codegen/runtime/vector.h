/* Vectors of KK_VL floats on GCC and Clang vector extensions; the including file says KK_VL and the instruction set. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the weights are stored in little-endian order"
#endif

#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
#include <immintrin.h>
#elif defined(KK_NEON)
#include <arm_neon.h>
#endif

#define KK_INLINE static inline __attribute__((always_inline, unused))
#define KK_FUNCTION static __attribute__((noinline, unused))
#ifndef KK_TABLE
#define KK_TABLE static const
#endif

typedef float vf __attribute__((vector_size(KK_VL * 4)));
typedef int32_t vi __attribute__((vector_size(KK_VL * 4)));
typedef float vf_at __attribute__((vector_size(KK_VL * 4), aligned(4), may_alias));

KK_INLINE vf vld(const float *p) { return *(const vf_at *)p; }
KK_INLINE void vst(float *p, vf v) { *(vf_at *)p = v; }
KK_INLINE vf vdup(float x) { return x - (vf){0}; }

/* The first n < KK_VL lanes; nothing beyond them is touched, and the other lanes read as 0. */
#if defined(KK_AVX512)
KK_INLINE vf vld_n(const float *p, int n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
KK_INLINE void vst_n(float *p, vf v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif defined(KK_AVX2)
KK_INLINE __m256i kk_lanes(int n) { return (__m256i)((vi){0, 1, 2, 3, 4, 5, 6, 7} < n); }
KK_INLINE vf vld_n(const float *p, int n) { return (vf)_mm256_maskload_ps(p, kk_lanes(n)); }
KK_INLINE void vst_n(float *p, vf v, int n) { _mm256_maskstore_ps(p, kk_lanes(n), (__m256)v); }
#else
KK_INLINE vf vld_n(const float *p, int n)
{
    float lanes[KK_VL] = {0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i];
    return vld(lanes);
}
KK_INLINE void vst_n(float *p, vf v, int n)
{
    float lanes[KK_VL];
    vst(lanes, v);
    for (int i = 0; i < n; i++)
        p[i] = lanes[i];
}
#endif
/* n lanes, each `step` floats after the one before. */
KK_INLINE vf vld_step(const float *p, ptrdiff_t step, int n)
{
    float lanes[KK_VL] = {0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i * step];
    return vld(lanes);
}

KK_INLINE vf vselect(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
KK_INLINE vf vabs(vf v) { return (vf)((vi)v & 0x7fffffff); }

/* Where an operand is not a number the second one is the result, so that clamping keeps NaN. */
#if defined(KK_AVX512)
KK_INLINE vf vmin(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
KK_INLINE vf vmax(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(KK_AVX2)
KK_INLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
KK_INLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(KK_SSE)
KK_INLINE vf vmin(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
KK_INLINE vf vmax(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
#elif defined(KK_NEON)
KK_INLINE vf vmin(vf a, vf b) { return (vf)vminq_f32((float32x4_t)a, (float32x4_t)b); }
KK_INLINE vf vmax(vf a, vf b) { return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
#else
KK_INLINE vf vmin(vf a, vf b) { return vselect(a < b, a, b); }
KK_INLINE vf vmax(vf a, vf b) { return vselect(a > b, a, b); }
#endif
KK_INLINE vf vclamp(vf v, float low, float high) { return vmin(vdup(high), vmax(vdup(low), v)); }

KK_INLINE float vsum(vf v)
{
    float lanes[KK_VL], total = 0;
    vst(lanes, v);
    for (int i = 0; i < KK_VL; i++)
        total += lanes[i];
    return total;
}
KK_INLINE void vst_step(float *p, ptrdiff_t step, vf v, int n)
{
    float lanes[KK_VL];
    vst(lanes, v);
    for (int i = 0; i < n; i++)
        p[i * step] = lanes[i];
}
/* The first n <= KK_VL lanes. */
KK_INLINE vf vld_n_or_all(const float *p, int n) { return n == KK_VL ? vld(p) : vld_n(p, n); }
KK_INLINE void vst_n_or_all(float *p, vf v, int n)
{
    if (n == KK_VL)
        vst(p, v);
    else
        vst_n(p, v, n);
}
