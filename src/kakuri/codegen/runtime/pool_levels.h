/* The largest level of each window, cut at the border. */
#define KK_LARGEST(LANES, LARGER)                                                                                     \
    typedef uint8_t kk_bytes_##LANES __attribute__((vector_size(LANES)));                                             \
    KK_INLINE void kk_largest_##LANES(const kk_pool *g, const uint8_t *a, uint8_t *to, int rows, int columns)         \
    {                                                                                                                 \
        kk_bytes_##LANES old = {0}, new;                                                                              \
        for (int y = 0; y < rows; y++)                                                                                \
            for (int x = 0; x < columns; x++) {                                                                       \
                memcpy(&new, a + y * g->dh * g->a_row + x * g->dw * g->a_px, LANES);                                  \
                old = LARGER;                                                                                         \
            }                                                                                                         \
        memcpy(to, &old, LANES);                                                                                      \
    }
KK_LARGEST(1, (kk_bytes_1){new[0] > old[0] ? new[0] : old[0]})
#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
KK_LARGEST(16, (kk_bytes_16)_mm_max_epu8((__m128i)old, (__m128i)new))
#elif defined(KK_NEON)
KK_LARGEST(16, (kk_bytes_16)vmaxq_u8((uint8x16_t)old, (uint8x16_t)new))
#else
KK_LARGEST(16, (new & (kk_bytes_16)(new > old)) | (old & ~(kk_bytes_16)(new > old)))
#endif
#if defined(KK_AVX512)
#define KK_MOST_LEVELS 64
#define kk_largest_most kk_largest_64
KK_LARGEST(64, (kk_bytes_64)_mm512_max_epu8((__m512i)old, (__m512i)new))
#elif defined(KK_AVX2)
#define KK_MOST_LEVELS 32
#define kk_largest_most kk_largest_32
KK_LARGEST(32, (kk_bytes_32)_mm256_max_epu8((__m256i)old, (__m256i)new))
#else
#define KK_MOST_LEVELS 16
#define kk_largest_most kk_largest_16
#endif

KK_INLINE void kk_pool_levels(const kk_pool *g, const uint8_t *a, uint8_t *c)
{
    for (int oy = 0; oy < g->OH; oy++)
        for (int ox = 0; ox < g->OW; ox++) {
            int top, left, y = oy * g->sh - g->top, x = ox * g->sw - g->left;
            int rows = kk_inside(y, g->dh, g->kh, g->H, &top), columns = kk_inside(x, g->dw, g->kw, g->W, &left);
            const uint8_t *p = a + (y + top * g->dh) * g->a_row + (x + left * g->dw) * g->a_px;
            uint8_t *to = c + oy * g->c_row + ox * g->c_px;
            int n = 0;
            for (; n + KK_MOST_LEVELS <= g->C; n += KK_MOST_LEVELS)
                kk_largest_most(g, p + n, to + n, rows, columns);
            for (; n + 16 <= g->C; n += 16)
                kk_largest_16(g, p + n, to + n, rows, columns);
            for (; n < g->C; n++)
                kk_largest_1(g, p + n, to + n, rows, columns);
        }
}
