/* Depthwise convolution of unsigned levels with signed 8-bit weights.
 *
 * Weights: [set][column of taps][four rows of it][channel][4]; the sets add up. All but the first are nearly empty:
 * they are multiplied where a run of channels has something in them.
 */
typedef struct {
    int32_t W, C, sets;
    ptrdiff_t a_row, a_px, a_ky, a_kx, c_row, c_px;
    kk_levels levels;
} kk_dot_depthwise;

#define KK_DOT_DEPTHWISE_PIXELS 4
#define KK_DOT_DEPTHWISE_RUN 32

/* How many sets matter to the first n channels of w, `rows` columns of taps. */
KK_FUNCTION int kk_dot_sets(const kk_dot_depthwise *g, const int8_t *w, int rows, int n)
{
    for (int set = g->sets - 1; set > 0; set--)
        for (int i = 0; i < rows; i++)
            for (int k = 0; k < n; k++) {
                int32_t four;
                memcpy(&four, w + 4 * ((ptrdiff_t)(set * rows + i) * g->levels.columns + k), 4);
                if (four)
                    return set + 1;
            }
    return 1;
}

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
                                       int sets, vi start, vi *restrict sums, const int kh, const int kw,
                                       const int stride, const int shared, const int pixels, const int n)
{
    const ptrdiff_t tap = (ptrdiff_t)g->levels.columns * 4;
    const int groups = (kh + 3) / 4;
    vi acc[KK_DOT_DEPTHWISE_PIXELS];
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
        acc[t] = start;
    for (int set = 0; set < sets; set++, w += tap * groups * kw)
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

/* `rows` rows, n channels from the first of a vector: sums of a run of pixels first, then their levels. */
KK_INLINE void kk_dot_depthwise_run(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                    uint8_t *c, int rows, const int kh, const int kw, const int stride,
                                    const int shared, const int n)
{
    vi sums[KK_DOT_DEPTHWISE_RUN];
    const vi start = vild(table);
    const int step = KK_DOT_DEPTHWISE_PIXELS, sets = kk_dot_sets(g, w, (kh + 3) / 4 * kw, n);
    kk_multiplier_set set;
    kk_prepare_levels(&g->levels, table, 1, &set);
    for (int h = 0; h < rows; h++, a += g->a_row, c += g->c_row)
        for (int m = 0; m < g->W; m += KK_DOT_DEPTHWISE_RUN) {
            int run = g->W - m < KK_DOT_DEPTHWISE_RUN ? g->W - m : KK_DOT_DEPTHWISE_RUN, k = 0;
            const uint8_t *from = a + (ptrdiff_t)m * stride * g->a_px;
            const ptrdiff_t px = stride * g->a_px;
            for (; n == KK_VL && k + step <= run; k += step)
                kk_dot_depthwise_pixels(g, from + k * px, w, sets, start, sums + k, kh, kw, stride, shared, step, n);
            for (; k < run; k++)
                kk_dot_depthwise_pixels(g, from + k * px, w, sets, start, sums + k, kh, kw, stride, shared, 1, n);
            kk_levels_put(&g->levels, &set, table, sums, 1, run, 1, c + m * g->c_px, g->c_px, n);
        }
}

#if defined(KK_AVX512) && defined(__AVX512VNNI__)
/* 64 channels at once, or, where fewer channels follow each other from pixel to pixel, 64 bytes of a row. Rows are
 * interleaved byte by byte, which leaves channels 16 l + 4 j ... in lane l of vector j; weights and tables are turned
 * into that order first, and packing the levels turns it back. */
#define KK_DOT_WIDE 64
#define KK_DOT_WIDE_LEAST 48
#define KK_DOT_WIDEST_WINDOW 7

typedef struct {
    vi taps[2 * KK_DOT_WIDEST_WINDOW * 2 * 4], start[4];
    kk_multiplier_set set;
    kk_levels levels;
    int sets;
} kk_dot_wide;

/* What each of 64 channels has, four bytes each; after `period` channels the first one comes again. */
KK_INLINE void kk_turn(const void *from, int period, vi *to)
{
    char all[4 * KK_DOT_WIDE];
    for (int i = 0; i < KK_DOT_WIDE; i += period)
        memcpy(all + 4 * i, from, 4 * (size_t)period);
    __m512i in[4];
    for (int l = 0; l < 4; l++)
        in[l] = _mm512_loadu_si512(all + 64 * l);
    __m512i a = _mm512_shuffle_i32x4(in[0], in[1], 0x44), b = _mm512_shuffle_i32x4(in[2], in[3], 0x44);
    __m512i c = _mm512_shuffle_i32x4(in[0], in[1], 0xee), d = _mm512_shuffle_i32x4(in[2], in[3], 0xee);
    to[0] = (vi)_mm512_shuffle_i32x4(a, b, 0x88);
    to[1] = (vi)_mm512_shuffle_i32x4(a, b, 0xdd);
    to[2] = (vi)_mm512_shuffle_i32x4(c, d, 0x88);
    to[3] = (vi)_mm512_shuffle_i32x4(c, d, 0xdd);
}

KK_FUNCTION void kk_dot_wide_begin(const kk_dot_depthwise *g, const int8_t *w, const int32_t *table, int period,
                                   int rows, kk_dot_wide *wide)
{
    vi turned[3][4];
    int32_t flat[3 * KK_DOT_WIDE];
    __m512i all;
    wide->sets = 1;
    for (int i = 0; i < g->sets * rows; i++) {
        vi *to = wide->taps + 4 * i;
        kk_turn(w + (ptrdiff_t)i * g->levels.columns * 4, period, to);
        if (i >= rows && _mm512_test_epi32_mask(all = (__m512i)(to[0] | to[1] | to[2] | to[3]), all))
            wide->sets = 2;
    }
    for (int i = 0; i < 3; i++)
        kk_turn(table + (ptrdiff_t)i * g->levels.columns, period, turned[i]);
    memcpy(wide->start, turned[0], sizeof wide->start);
    memcpy(flat, turned, sizeof flat);
    wide->levels = g->levels;
    wide->levels.columns = KK_DOT_WIDE;
    kk_prepare_levels(&wide->levels, flat, 4, &wide->set);
}

KK_INLINE void kk_interleave(const uint8_t *a, ptrdiff_t row, const int rows, __mmask64 some, vi *to)
{
    const __m512i none = _mm512_setzero_si512();
    __m512i r0 = _mm512_maskz_loadu_epi8(some, a), r1 = rows > 1 ? _mm512_maskz_loadu_epi8(some, a + row) : none;
    __m512i r2 = rows > 2 ? _mm512_maskz_loadu_epi8(some, a + 2 * row) : none;
    __m512i r3 = rows > 3 ? _mm512_maskz_loadu_epi8(some, a + 3 * row) : none;
    __m512i low = _mm512_unpacklo_epi8(r0, r1), high = _mm512_unpackhi_epi8(r0, r1);
    __m512i low2 = _mm512_unpacklo_epi8(r2, r3), high2 = _mm512_unpackhi_epi8(r2, r3);
    to[0] = (vi)_mm512_unpacklo_epi16(low, low2);
    to[1] = (vi)_mm512_unpackhi_epi16(low, low2);
    to[2] = (vi)_mm512_unpacklo_epi16(high, high2);
    to[3] = (vi)_mm512_unpackhi_epi16(high, high2);
}

KK_INLINE void kk_dot_wide_add(vi *acc, const vi *column, const vi *w, ptrdiff_t set, const int sets)
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        acc[j] = kk_dot_add(acc[j], column[j], w[j]);
        acc[j] = sets > 1 ? kk_dot_add(acc[j], column[j], w[set + j]) : acc[j];
    }
}

/* Sums of `pixels` neighbours, a_px bytes apart. shared: as below. */
KK_INLINE void kk_dot_wide_pixels(const kk_dot_depthwise *g, const kk_dot_wide *wide, const uint8_t *restrict a,
                                  ptrdiff_t a_px, __mmask64 some, vi *restrict sums, const int kh, const int kw,
                                  const int stride, const int shared, const int pixels, const int sets)
{
    const int groups = (kh + 3) / 4, set = 4 * kw * groups;
    const vi *w = wide->taps;
    vi acc[KK_DOT_DEPTHWISE_PIXELS][4];
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            acc[t][j] = wide->start[j];
    for (int y = 0; y < groups; y++) {
        const uint8_t *rows = a + 4 * y * g->a_ky;
        const int many = kh - 4 * y > 4 ? 4 : kh - 4 * y;
        vi column[4];
        if (shared) {
#pragma GCC unroll 24
            for (int u = 0; u < (pixels - 1) * stride + kw; u++) {
                kk_interleave(rows + u * g->a_px, g->a_ky, many, some, column);
#pragma GCC unroll 4
                for (int t = 0; t < pixels; t++)
                    if (u >= t * stride && u - t * stride < kw)
                        kk_dot_wide_add(acc[t], column, w + ((u - t * stride) * groups + y) * 4, set, sets);
            }
        } else {
            for (int x = 0; x < kw; x++)
#pragma GCC unroll 4
                for (int t = 0; t < pixels; t++) {
                    kk_interleave(rows + x * g->a_kx + t * a_px, g->a_ky, many, some, column);
                    kk_dot_wide_add(acc[t], column, w + (x * groups + y) * 4, set, sets);
                }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < pixels; t++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sums[4 * t + j] = acc[t][j];
}

KK_INLINE void kk_dot_wide_put(const kk_dot_wide *wide, const vi *sums, int pixels, uint8_t *c, ptrdiff_t c_px,
                               __mmask64 some, const int has_sign)
{
    const __m512i low = _mm512_set1_epi8((char)wide->levels.low), high = _mm512_set1_epi8((char)wide->levels.high);
    for (int i = 0; i < pixels; i++) {
        __m512i level[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            level[j] = (__m512i)kk_level(&wide->set.of[j], sums[4 * i + j], has_sign);
        __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(level[0], level[1]),
                                            _mm512_packs_epi32(level[2], level[3]));
        _mm512_mask_storeu_epi8(c + i * c_px, some, _mm512_min_epu8(high, _mm512_max_epu8(low, bytes)));
    }
}

/* A row of `count` outputs of 64 bytes, `some` of them, c_px apart. */
KK_INLINE void kk_dot_wide_row(const kk_dot_depthwise *g, const kk_dot_wide *wide, const uint8_t *a, ptrdiff_t a_px,
                               uint8_t *c, ptrdiff_t c_px, int count, __mmask64 some, const int kh, const int kw,
                               const int stride, const int shared, const int sets)
{
    vi sums[KK_DOT_DEPTHWISE_RUN * 4];
    const int step = KK_DOT_DEPTHWISE_PIXELS;
    for (int m = 0; m < count; m += KK_DOT_DEPTHWISE_RUN, c += KK_DOT_DEPTHWISE_RUN * c_px) {
        int run = count - m < KK_DOT_DEPTHWISE_RUN ? count - m : KK_DOT_DEPTHWISE_RUN, k = 0;
        const uint8_t *from = a + m * a_px;
        for (; k + step <= run; k += step)
            kk_dot_wide_pixels(g, wide, from + k * a_px, a_px, some, sums + 4 * k, kh, kw, stride, shared, step, sets);
        for (; k < run; k++)
            kk_dot_wide_pixels(g, wide, from + k * a_px, a_px, some, sums + 4 * k, kh, kw, stride, shared, 1, sets);
        if (wide->levels.mode == KK_LEVELS_POSITIVE)
            kk_dot_wide_put(wide, sums, run, c, c_px, some, 0);
        else
            kk_dot_wide_put(wide, sums, run, c, c_px, some, 1);
    }
}

#define KK_DOT_WIDE_ROW(g, wide, ...)                                                                                  \
    ((wide)->sets == 1 ? kk_dot_wide_row(g, wide, __VA_ARGS__, 1) : kk_dot_wide_row(g, wide, __VA_ARGS__, 2))

/* Rows of narrow maps without gaps, as runs of 64 bytes. */
KK_INLINE void kk_dot_narrow_rows(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                  uint8_t *c, int rows, const int kh, const int kw)
{
    kk_dot_wide wide;
    const int bytes = g->W * g->C, whole = bytes / KK_DOT_WIDE, left = bytes % KK_DOT_WIDE;
    const ptrdiff_t at = (ptrdiff_t)whole * KK_DOT_WIDE, px = KK_DOT_WIDE;
    kk_dot_wide_begin(g, w, table, g->C, (kh + 3) / 4 * kw, &wide);
    for (int h = 0; h < rows; h++, a += g->a_row, c += g->c_row) {
        KK_DOT_WIDE_ROW(g, &wide, a, px, c, px, whole, ~(__mmask64)0, kh, kw, 1, 0);
        if (left)
            KK_DOT_WIDE_ROW(g, &wide, a + at, px, c + at, px, 1, ~(__mmask64)0 >> (KK_DOT_WIDE - left), kh, kw, 1, 0);
    }
}

KK_INLINE void kk_dot_wide_rows(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                uint8_t *c, int rows, const int kh, const int kw, const int stride, const int shared)
{
    if (stride == 1 && g->C < KK_DOT_WIDE && KK_DOT_WIDE % g->C == 0 && g->a_px == g->C && g->c_px == g->C) {
        kk_dot_narrow_rows(g, a, w, table, c, rows, kh, kw);
        return;
    }
    for (int n = 0; n < g->C; n += KK_DOT_WIDE) {
        kk_dot_wide wide;
        const int some = g->C < KK_DOT_WIDE ? g->C : KK_DOT_WIDE;
        n = g->C > n + KK_DOT_WIDE || n == 0 ? n : g->C - KK_DOT_WIDE; /* the last run starts earlier */
        kk_dot_wide_begin(g, w + 4 * n, table + n, KK_DOT_WIDE, (kh + 3) / 4 * kw, &wide);
        for (int h = 0; h < rows; h++)
            KK_DOT_WIDE_ROW(g, &wide, a + h * g->a_row + n, stride * g->a_px, c + h * g->c_row + n, g->c_px, g->W,
                            ~(__mmask64)0 >> (KK_DOT_WIDE - some), kh, kw, stride, shared);
    }
}
#endif

/* `rows` rows. shared: taps are one pixel apart, so that neighbouring outputs share their loads. */
KK_INLINE void kk_dot_depthwise_rows(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                     uint8_t *c, int rows, const int kh, const int kw, const int stride,
                                     const int shared)
{
#if defined(KK_AVX512) && defined(__AVX512VNNI__)
    const int quick = g->levels.mode == KK_LEVELS_POSITIVE || g->levels.mode == KK_LEVELS_SIGNED;
    const int wide = g->C >= KK_DOT_WIDE_LEAST || (stride == 1 && KK_DOT_WIDE % g->C == 0);
    if (quick && wide && g->sets <= 2 && kh <= KK_DOT_WIDEST_WINDOW && kw <= KK_DOT_WIDEST_WINDOW) {
        kk_dot_wide_rows(g, a, w, table, c, rows, kh, kw, stride, shared);
        return;
    }
#endif
    if (g->C < KK_VL) {
        kk_dot_depthwise_run(g, a, w, table, c, rows, kh, kw, stride, shared, g->C);
        return;
    }
    for (int n = 0; n < g->C; n += KK_VL) {
        n = g->C - n < KK_VL ? g->C - KK_VL : n; /* the last vector starts earlier */
        kk_dot_depthwise_run(g, a + n, w + 4 * n, table + n, c + n, rows, kh, kw, stride, shared, KK_VL);
    }
}

/* As many rows at once as a cache holds. */
KK_INLINE void kk_dot_depthwise_all(const kk_dot_depthwise *g, const uint8_t *a, const int8_t *w, const int32_t *table,
                                    uint8_t *c, int rows, const int kh, const int kw, const int stride,
                                    const int shared)
{
    const int block = g->a_row < KK_DOT_BLOCK_BYTES ? (int)(KK_DOT_BLOCK_BYTES / (g->a_row + 1)) : 1;
    for (int h = 0; h < rows; h += block)
        kk_dot_depthwise_rows(g, a + h * g->a_row, w, table, c + h * g->c_row, rows - h < block ? rows - h : block, kh,
                              kw, stride, shared);
}
