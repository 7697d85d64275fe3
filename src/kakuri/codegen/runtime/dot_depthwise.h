/* Depthwise convolution of unsigned levels with signed 8-bit weights, one output row at a time.
 *
 * Weights: [set][column of taps][four rows of it][channel][4]; the sets add up.
 */
typedef struct {
    int32_t W, C, sets;
    ptrdiff_t a_px, a_ky, a_kx, c_px;
    kk_levels levels;
} kk_dot_depthwise;

#define KK_DOT_DEPTHWISE_PIXELS 4
#define KK_DOT_DEPTHWISE_RUN 32

/* Up to four rows of one column of taps, a byte of each lane from each. */
KK_INLINE kk_dot_a kk_dot_column(const uint8_t *a, ptrdiff_t row, const int rows, int n)
{
    vi packed = kk_bytes(a, n);
    if (rows > 1)
        packed |= kk_bytes(a + row, n) << 8;
    if (rows > 2)
        packed |= kk_bytes(a + 2 * row, n) << 16;
    if (rows > 3)
        packed |= kk_bytes(a + 3 * row, n) << 24;
    return kk_dot_prepare(packed);
}

/* The sums of `pixels` neighbouring pixels, n channels. */
KK_INLINE void kk_dot_depthwise_pixels(const kk_dot_depthwise *g, const uint8_t *restrict a, const int8_t *restrict w,
                                       vi start, vi *restrict sums, const int kh, const int kw, const int stride,
                                       const int shared, const int pixels, const int n)
{
    const ptrdiff_t tap = (ptrdiff_t)g->levels.columns * 4;
    const int groups = (kh + 3) / 4;
    vi acc[KK_DOT_DEPTHWISE_PIXELS];
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
        acc[t] = start;
    for (int set = 0; set < g->sets; set++, w += tap * groups * kw)
        for (int y = 0; y < groups; y++) {
            const uint8_t *rows = a + 4 * y * g->a_ky;
            const int many = kh - 4 * y > 4 ? 4 : kh - 4 * y;
            if (shared) {
#pragma GCC unroll 24
                for (int u = 0; u < (pixels - 1) * stride + kw; u++) {
                    kk_dot_a column = kk_dot_column(rows + u * g->a_px, g->a_ky, many, n);
#pragma GCC unroll 4
                    for (int t = 0; t < pixels; t++)
                        if (u >= t * stride && u - t * stride < kw)
                            acc[t] = kk_dot_add(acc[t], column, vild(w + ((u - t * stride) * groups + y) * tap));
                }
            } else {
                for (int x = 0; x < kw; x++)
                    for (int t = 0; t < pixels; t++) {
                        const uint8_t *at = rows + x * g->a_kx + t * stride * g->a_px;
                        acc[t] = kk_dot_add(acc[t], kk_dot_column(at, g->a_ky, many, n),
                                            vild(w + (x * groups + y) * tap));
                    }
            }
        }
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
        sums[t] = acc[t];
}

/* A run of pixels, n channels from the first of a vector: sums first, then levels. */
KK_INLINE void kk_dot_depthwise_run(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                    uint8_t *c, const int kh, const int kw, const int stride, const int shared,
                                    const int n)
{
    vi sums[KK_DOT_DEPTHWISE_RUN];
    const vi start = vild(table);
    kk_multiplier_set set;
    kk_prepare_levels(&g->levels, table, 1, &set);
    const int step = KK_DOT_DEPTHWISE_PIXELS;
    for (int m = 0; m < g->W; m += KK_DOT_DEPTHWISE_RUN) {
        int run = g->W - m < KK_DOT_DEPTHWISE_RUN ? g->W - m : KK_DOT_DEPTHWISE_RUN, k = 0;
        const uint8_t *from = a + (ptrdiff_t)m * stride * g->a_px;
        for (; n == KK_VL && k + step <= run; k += step)
            kk_dot_depthwise_pixels(g, from + k * stride * g->a_px, w, start, sums + k, kh, kw, stride, shared, step, n);
        for (; k < run; k++)
            kk_dot_depthwise_pixels(g, from + k * stride * g->a_px, w, start, sums + k, kh, kw, stride, shared, 1, n);
        kk_levels_put(&g->levels, &set, table, sums, 1, run, 1, 0, 0, c + m * g->c_px, g->c_px, n);
    }
}

/* shared: taps are one pixel apart, so that neighbouring outputs share their loads. */
KK_INLINE void kk_dot_depthwise_row(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                    uint8_t *c, const int kh, const int kw, const int stride, const int shared)
{
    if (g->C < KK_VL) {
        kk_dot_depthwise_run(g, a, w, table, c, kh, kw, stride, shared, g->C);
        return;
    }
    for (int n = 0; n < g->C; n += KK_VL) {
        n = g->C - n < KK_VL ? g->C - KK_VL : n; /* the last vector starts earlier */
        kk_dot_depthwise_run(g, a + n, w + 4 * n, table + n, c + n, kh, kw, stride, shared, KK_VL);
    }
}
