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

#if defined(KK_AVX512) && defined(__AVX512VNNI__)
/* 64 channels at once. Rows are interleaved byte by byte, which leaves channels 16 l + 4 j ... in lane l of vector j;
 * weights and tables are turned into that order once per row, and packing the levels turns it back. */
#define KK_DOT_WIDE 64
#define KK_DOT_WIDEST_WINDOW 7

KK_INLINE void kk_turn(const void *from, vi *to)
{
    __m512i in[4];
    for (int l = 0; l < 4; l++)
        in[l] = _mm512_loadu_si512((const char *)from + 64 * l);
    __m512i a = _mm512_shuffle_i32x4(in[0], in[1], 0x44), b = _mm512_shuffle_i32x4(in[2], in[3], 0x44);
    __m512i c = _mm512_shuffle_i32x4(in[0], in[1], 0xee), d = _mm512_shuffle_i32x4(in[2], in[3], 0xee);
    to[0] = (vi)_mm512_shuffle_i32x4(a, b, 0x88);
    to[1] = (vi)_mm512_shuffle_i32x4(a, b, 0xdd);
    to[2] = (vi)_mm512_shuffle_i32x4(c, d, 0x88);
    to[3] = (vi)_mm512_shuffle_i32x4(c, d, 0xdd);
}

KK_INLINE void kk_interleave(const uint8_t *a, ptrdiff_t row, const int rows, vi *to)
{
    const __m512i none = _mm512_setzero_si512();
    __m512i r0 = _mm512_loadu_si512(a), r1 = rows > 1 ? _mm512_loadu_si512(a + row) : none;
    __m512i r2 = rows > 2 ? _mm512_loadu_si512(a + 2 * row) : none;
    __m512i r3 = rows > 3 ? _mm512_loadu_si512(a + 3 * row) : none;
    __m512i low = _mm512_unpacklo_epi8(r0, r1), high = _mm512_unpackhi_epi8(r0, r1);
    __m512i low2 = _mm512_unpacklo_epi8(r2, r3), high2 = _mm512_unpackhi_epi8(r2, r3);
    to[0] = (vi)_mm512_unpacklo_epi16(low, low2);
    to[1] = (vi)_mm512_unpackhi_epi16(low, low2);
    to[2] = (vi)_mm512_unpacklo_epi16(high, high2);
    to[3] = (vi)_mm512_unpackhi_epi16(high, high2);
}

KK_INLINE void kk_dot_wide_pixels(const kk_dot_depthwise *g, const uint8_t *restrict a, const vi *restrict w,
                                  const vi *start, vi *restrict sums, const int kh, const int kw, const int stride,
                                  const int pixels)
{
    const int groups = (kh + 3) / 4;
    vi acc[KK_DOT_DEPTHWISE_PIXELS][4];
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            acc[t][j] = start[j];
    for (int set = 0; set < g->sets; set++, w += 4 * kw * groups)
        for (int y = 0; y < groups; y++) {
            const uint8_t *rows = a + 4 * y * g->a_ky;
            const int many = kh - 4 * y > 4 ? 4 : kh - 4 * y;
#pragma GCC unroll 24
            for (int u = 0; u < (pixels - 1) * stride + kw; u++) {
                vi column[4];
                kk_interleave(rows + u * g->a_px, g->a_ky, many, column);
#pragma GCC unroll 4
                for (int t = 0; t < pixels; t++)
                    if (u >= t * stride && u - t * stride < kw)
#pragma GCC unroll 4
                        for (int j = 0; j < 4; j++)
                            acc[t][j] = kk_dot_add(acc[t][j], column[j], w[((u - t * stride) * groups + y) * 4 + j]);
            }
        }
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sums[4 * t + j] = acc[t][j];
}

KK_INLINE void kk_dot_wide_put(const kk_levels *q, const kk_multiplier_set *set, const vi *sums, int rows, uint8_t *c,
                               ptrdiff_t c_px, const int has_sign)
{
    const __m512i low = _mm512_set1_epi8((char)q->low), high = _mm512_set1_epi8((char)q->high);
    for (int i = 0; i < rows; i++) {
        __m512i level[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            level[j] = (__m512i)kk_level(&set->of[j], sums[4 * i + j], has_sign);
        __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(level[0], level[1]),
                                            _mm512_packs_epi32(level[2], level[3]));
        _mm512_storeu_si512(c + i * c_px, _mm512_min_epu8(high, _mm512_max_epu8(low, bytes)));
    }
}

/* A row of 64 channels; the mode is not a general one. */
KK_INLINE void kk_dot_wide_run(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                               uint8_t *c, const int kh, const int kw, const int stride)
{
    const int groups = (kh + 3) / 4, step = KK_DOT_DEPTHWISE_PIXELS, all = g->sets * kw * groups;
    vi taps[2 * KK_DOT_WIDEST_WINDOW * 2 * 4], turned[3][4], sums[KK_DOT_DEPTHWISE_RUN * 4];
    int32_t rows[3 * 4 * KK_VL];
    kk_multiplier_set set;
    kk_levels levels = g->levels;
    for (int i = 0; i < all; i++)
        kk_turn(w + (ptrdiff_t)i * g->levels.columns * 4, taps + 4 * i);
    for (int i = 0; i < 3; i++)
        kk_turn(table + (ptrdiff_t)i * g->levels.columns, turned[i]);
    memcpy(rows, turned, sizeof rows);
    levels.columns = 4 * KK_VL;
    kk_prepare_levels(&levels, rows, 4, &set);
    for (int m = 0; m < g->W; m += KK_DOT_DEPTHWISE_RUN) {
        int run = g->W - m < KK_DOT_DEPTHWISE_RUN ? g->W - m : KK_DOT_DEPTHWISE_RUN, k = 0;
        const uint8_t *from = a + (ptrdiff_t)m * stride * g->a_px;
        for (; k + step <= run; k += step)
            kk_dot_wide_pixels(g, from + k * stride * g->a_px, taps, turned[0], sums + 4 * k, kh, kw, stride, step);
        for (; k < run; k++)
            kk_dot_wide_pixels(g, from + k * stride * g->a_px, taps, turned[0], sums + 4 * k, kh, kw, stride, 1);
        if (levels.mode == KK_LEVELS_POSITIVE)
            kk_dot_wide_put(&levels, &set, sums, run, c + m * g->c_px, g->c_px, 0);
        else
            kk_dot_wide_put(&levels, &set, sums, run, c + m * g->c_px, g->c_px, 1);
    }
}
#endif

/* shared: taps are one pixel apart, so that neighbouring outputs share their loads. */
KK_INLINE void kk_dot_depthwise_row(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                    uint8_t *c, const int kh, const int kw, const int stride, const int shared)
{
    if (g->C < KK_VL) {
        kk_dot_depthwise_run(g, a, w, table, c, kh, kw, stride, shared, g->C);
        return;
    }
    int n = 0;
#if defined(KK_AVX512) && defined(__AVX512VNNI__)
    const int quick = g->levels.mode == KK_LEVELS_POSITIVE || g->levels.mode == KK_LEVELS_SIGNED;
    if (shared && quick && kh <= KK_DOT_WIDEST_WINDOW && kw <= KK_DOT_WIDEST_WINDOW)
        for (; n + KK_DOT_WIDE <= g->C; n += KK_DOT_WIDE)
            kk_dot_wide_run(g, a + n, w + 4 * n, table + n, c + n, kh, kw, stride);
#endif
    for (; n < g->C; n += KK_VL) {
        n = g->C - n < KK_VL ? g->C - KK_VL : n; /* the last vector starts earlier */
        kk_dot_depthwise_run(g, a + n, w + 4 * n, table + n, c + n, kh, kw, stride, shared, KK_VL);
    }
}
