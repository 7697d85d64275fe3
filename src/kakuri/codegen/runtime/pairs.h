/* Sums and products of two quantised tensors. */
KK_INLINE vi kk_contribution(const int32_t *table, const uint8_t *p, ptrdiff_t step, int n)
{
    vi found = {0};
    if (step == 0)
        return vidup(table[*p]);
#if defined(KK_AVX512)
    if (step == 1 && n == KK_VL)
        return (vi)_mm512_i32gather_epi32((__m512i)kk_bytes(p, n), table, 4);
#elif defined(KK_AVX2)
    if (step == 1 && n == KK_VL)
        return (vi)_mm256_i32gather_epi32(table, (__m256i)kk_bytes(p, n), 4);
#endif
    for (int i = 0; i < n; i++)
        found[i] = table[p[i * step]];
    return found;
}

/* Any pair: per element two contributions from tables, one multiplication.
 * row: a bias of 0 and the multiplier, as in levels.h, for a vector of columns. */
KK_FUNCTION void kk_pairs(const kk_levels *g, const int32_t *row, const int32_t *tables, uint8_t *q, const uint8_t *p0,
                          const uint8_t *p1, int size, ptrdiff_t q_step, ptrdiff_t step0, ptrdiff_t step1, int product)
{
    kk_multiplier_set set;
    kk_prepare_levels(g, row, 1, &set);
    for (int i = 0; i < size; i += KK_VL) {
        int n = size - i < KK_VL ? size - i : KK_VL;
        uint8_t levels[KK_VL];
        vi a = kk_contribution(tables, p0 + i * step0, step0, n);
        vi b = kk_contribution(tables + 256, p1 + i * step1, step1, n);
        vi sum = product ? a * b : a + b;
        kk_levels_put(g, &set, row, &sum, 1, 1, 1, levels, 0, n);
        for (int k = 0; k < n; k++)
            q[(i + k) * q_step] = levels[k];
    }
}

/* Pairs for which rounding x0 a + (x1 b + c) to nearest, in float32, was found to give every level at generation:
 * each product is added with one rounding, and both tensors lie without gaps. */
#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_NEON)
#if defined(KK_AVX512)
KK_INLINE vf kk_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
KK_INLINE vi kk_nearest(vf v) { return (vi)_mm512_cvtps_epi32((__m512)v); }
#elif defined(KK_AVX2)
KK_INLINE vf kk_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
KK_INLINE vi kk_nearest(vf v) { return (vi)_mm256_cvtps_epi32((__m256)v); }
#else
KK_INLINE vf kk_fma(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
KK_INLINE vi kk_nearest(vf v) { return (vi)vcvtnq_s32_f32((float32x4_t)v); }
#endif
KK_FUNCTION void kk_pairs_proven(const kk_levels *g, const float *abc, uint8_t *q, const uint8_t *p0, const uint8_t *p1,
                                 int size)
{
    const vf a = vdup(abc[0]), b = vdup(abc[1]), c = vdup(abc[2]);
    for (int i = 0; i < size; i += KK_VL) {
        int n = size - i < KK_VL ? size - i : KK_VL;
        vf x0 = __builtin_convertvector(kk_bytes(p0 + i, n), vf), x1 = __builtin_convertvector(kk_bytes(p1 + i, n), vf);
        kk_put_bytes(q + i, viclamp(kk_nearest(kk_fma(x0, a, kk_fma(x1, b, c))), g->low, g->high), n);
    }
}
#define KK_PROVEN(quick, exact) quick
#else
#define KK_PROVEN(quick, exact) exact
#endif
