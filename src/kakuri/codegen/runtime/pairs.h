/* Sums and products of two quantised tensors: per element two contributions from tables, one multiplication.
 * row: a bias of 0 and the multiplier, as in levels.h, for a vector of columns.
 */
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

KK_FUNCTION void kk_pairs(const kk_levels *g, const int32_t *row, const int32_t *tables, uint8_t *q, const uint8_t *p0,
                          const uint8_t *p1, int size, ptrdiff_t q_step, ptrdiff_t step0, ptrdiff_t step1, int product)
{
    for (int i = 0; i < size; i += KK_VL) {
        int n = size - i < KK_VL ? size - i : KK_VL;
        uint8_t levels[KK_VL];
        vi a = kk_contribution(tables, p0 + i * step0, step0, n);
        vi b = kk_contribution(tables + 256, p1 + i * step1, step1, n);
        vi sum = product ? a * b : a + b;
        if (q_step == 1) {
            kk_levels_put(g, row, &sum, 1, 1, 0, 0, q + i, 0, n);
            continue;
        }
        kk_levels_put(g, row, &sum, 1, 1, 0, 0, levels, 0, n);
        for (int k = 0; k < n; k++)
            q[(i + k) * q_step] = levels[k];
    }
}
