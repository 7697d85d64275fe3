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

KK_INLINE void kk_dot_depthwise_pixels(const kk_dot_depthwise *g, const uint8_t *restrict a, const int8_t *restrict w,
                                       vi start, uint8_t *restrict c, const int32_t *table, const int kh, const int kw,
                                       const int stride, const int shared, const int pixels, int n)
{
    enum { P = KK_DOT_DEPTHWISE_PIXELS };
    const ptrdiff_t tap = (ptrdiff_t)g->levels.columns * 4;
    const int groups = (kh + 3) / 4;
    vi acc[P], sums[4 * P];
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
        sums[4 * t] = acc[t];
    kk_levels_put(&g->levels, table, sums, pixels, 1, 0, 0, c, g->c_px, n);
}

/* shared: taps are one pixel apart, so that neighbouring outputs share their loads. */
KK_INLINE void kk_dot_depthwise_row(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                    uint8_t *c, const int kh, const int kw, const int stride, const int shared)
{
    const int step = KK_DOT_DEPTHWISE_PIXELS;
    for (int n = 0; n < g->C; n += KK_VL) {
        int left = g->C - n;
        if (left < KK_VL && n > 0) {
            n = g->C - KK_VL;
            left = KK_VL;
        }
        vi start = vild(table + n);
        const int8_t *taps = w + 4 * n;
        int m = 0;
        if (left >= KK_VL) {
            for (; m + step <= g->W; m += step)
                kk_dot_depthwise_pixels(g, a + m * stride * g->a_px + n, taps, start, c + m * g->c_px + n, table + n,
                                        kh, kw, stride, shared, step, KK_VL);
            for (; m < g->W; m++)
                kk_dot_depthwise_pixels(g, a + m * stride * g->a_px + n, taps, start, c + m * g->c_px + n, table + n,
                                        kh, kw, stride, shared, 1, KK_VL);
        } else {
            for (; m < g->W; m++)
                kk_dot_depthwise_pixels(g, a + m * stride * g->a_px + n, taps, start, c + m * g->c_px + n, table + n,
                                        kh, kw, stride, shared, 1, left);
        }
    }
}
