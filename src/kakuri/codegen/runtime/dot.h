/* Convolution and matrix product of unsigned levels with signed 8-bit weights, as register tiles like those of conv.h.
 *
 * Weights: panels of KK_DOT_PANEL columns, [panel][taps / 4][column][4]; the last panel is as wide as its columns,
 * rounded up to 8. A segment's taps are padded with zeros to a multiple of 4; what is read beyond its end counts nothing.
 */
#define KK_DOT_PANEL 32
#define KK_DOT_BLOCK_BYTES (192 * 1024)

typedef struct {
    int32_t W, N, K;              /* pixels of an output row, columns; padded taps */
    int32_t kh, kw, len, real;    /* segments; their length, padded and as it is */
    int32_t flat, zero;           /* as in kk_conv; the weights' zero point */
    ptrdiff_t a_row, a_px, a_ky, a_kx, c_row, c_px;
    kk_levels levels;
} kk_dot;

/* Lane by lane: acc + the sum of four products of bytes, unsigned from a, signed from w. */
#if defined(KK_AVX512) && defined(__AVX512VNNI__)
typedef vi kk_dot_a;
KK_INLINE kk_dot_a kk_dot_prepare(vi a) { return a; }
KK_INLINE vi kk_dot_add(vi acc, kk_dot_a a, vi w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
    return acc;
}
#elif defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
#if defined(KK_AVX512)
#define KK_X86(name) (vi) _mm512_##name
typedef __m512i kk_dot_v;
#elif defined(KK_AVX2)
#define KK_X86(name) (vi) _mm256_##name
typedef __m256i kk_dot_v;
#else
#define KK_X86(name) (vi) _mm_##name
typedef __m128i kk_dot_v;
#endif
/* Products of 16 bits in pairs: bytes 0 and 2, and bytes 1 and 3. */
typedef struct {
    vi even, odd;
} kk_dot_a;
KK_INLINE kk_dot_a kk_dot_prepare(vi a)
{
    return (kk_dot_a){a & 0x00ff00ff, KK_X86(srli_epi16)((kk_dot_v)a, 8)};
}
KK_INLINE vi kk_dot_add(vi acc, kk_dot_a a, vi w)
{
    kk_dot_v even = (kk_dot_v)KK_X86(srai_epi16)((kk_dot_v)KK_X86(slli_epi16)((kk_dot_v)w, 8), 8);
    kk_dot_v odd = (kk_dot_v)KK_X86(srai_epi16)((kk_dot_v)w, 8);
    return acc + (KK_X86(madd_epi16)((kk_dot_v)a.even, even) + KK_X86(madd_epi16)((kk_dot_v)a.odd, odd));
}
#elif defined(KK_NEON) && defined(__ARM_FEATURE_DOTPROD)
/* Both signed: a is 128 lower, which is put right with the weights' sum. */
typedef vi kk_dot_a;
KK_INLINE kk_dot_a kk_dot_prepare(vi a) { return a ^ (int32_t)0x80808080; }
KK_INLINE vi kk_dot_add(vi acc, kk_dot_a a, vi w)
{
    const int8x16_t bytes = (int8x16_t)w, low = vdupq_n_s8(-128);
    acc = (vi)vdotq_s32((int32x4_t)acc, bytes, (int8x16_t)a);
    return acc - (vi)vdotq_s32(vdupq_n_s32(0), bytes, low);
}
#else
typedef vi kk_dot_a;
KK_INLINE kk_dot_a kk_dot_prepare(vi a) { return a; }
KK_INLINE vi kk_dot_add(vi acc, kk_dot_a a, vi w)
{
    acc += (a & 255) * ((w << 24) >> 24) + ((a >> 8) & 255) * ((w << 16) >> 24);
    return acc + ((a >> 16) & 255) * ((w << 8) >> 24) + ((a >> 24) & 255) * (w >> 24);
}
#endif

typedef void kk_dot_tile(const kk_dot *g, const uint8_t *a, const int8_t *b, ptrdiff_t width, ptrdiff_t next,
                         const int32_t *table, vi *sums);

KK_INLINE void kk_dot_body(const kk_dot *g, const uint8_t *restrict a, const int8_t *restrict b, const ptrdiff_t width,
                           const ptrdiff_t next, const int32_t *table, vi *sums, const int mr, const int nv)
{
    enum { PV = KK_DOT_PANEL / KK_VL };
    const ptrdiff_t px = g->a_px, row_gap = g->a_ky - g->kw * g->a_kx;
    const int len = g->len;
    vi acc[KK_DOT_MR][4];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            acc[i][j] = vild(table + j * KK_VL);
    for (int y = g->kh; y > 0; y--, a += row_gap)
        for (int x = g->kw; x > 0; x--, a += g->a_kx)
            for (int k = 0; k < len; k += 4, b += width * 4) {
                vi row[4];
#pragma GCC unroll 4
                for (int j = 0; j < nv; j++)
                    row[j] = vild(b + (j / PV) * next + (j % PV) * (KK_VL * 4));
#pragma GCC unroll 16
                for (int i = 0; i < mr; i++) {
                    int32_t four;
                    memcpy(&four, a + i * px + k, 4);
                    kk_dot_a pixel = kk_dot_prepare(vidup(four));
#pragma GCC unroll 4
                    for (int j = 0; j < nv; j++)
                        acc[i][j] = kk_dot_add(acc[i][j], pixel, row[j]);
                }
            }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            sums[4 * i + j] = acc[i][j];
}

#define KK_DEFINE_DOT_TILE(MR, NV)                                                                                     \
    KK_FUNCTION void kk_dot_tile_##MR##_##NV(const kk_dot *g, const uint8_t *a, const int8_t *b, ptrdiff_t width,      \
                                             ptrdiff_t next, const int32_t *table, vi *sums)                           \
    {                                                                                                                  \
        kk_dot_body(g, a, b, width, next, table, sums, MR, NV);                                                        \
    }
#define KK_NAME_DOT_TILE(MR, NV) [NV][MR] = kk_dot_tile_##MR##_##NV,
KK_DOT_TILES(KK_DEFINE_DOT_TILE)
static kk_dot_tile *const kk_dot_tiles[5][KK_DOT_MR + 1] = {KK_DOT_TILES(KK_NAME_DOT_TILE)};

/* The bytes that one output pixel reads, added up; `pixels` of them, a_px apart. */
KK_FUNCTION void kk_dot_totals(const kk_dot *g, const uint8_t *a, int pixels, int32_t *totals)
{
    for (int i = 0; i < pixels; i++, a += g->a_px) {
        int32_t total = 0;
#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
        const __m128i nothing = _mm_setzero_si128();
        __m128i many = nothing;
#endif
        for (int y = 0; y < g->kh; y++)
            for (int x = 0; x < g->kw; x++) {
                const uint8_t *p = a + y * g->a_ky + x * g->a_kx;
                int k = 0;
#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
                for (; k + 16 <= g->real; k += 16)
                    many = _mm_add_epi64(many, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)(p + k)), nothing));
#endif
#if defined(KK_AVX512)
                const __mmask16 rest = (__mmask16)((1u << (g->real - k)) - 1);
                many = _mm_add_epi64(many, _mm_sad_epu8(_mm_maskz_loadu_epi8(rest, p + k), nothing));
#else
                for (; k < g->real; k++)
                    total += p[k];
#endif
            }
#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
        total += _mm_cvtsi128_si32(many) + _mm_cvtsi128_si32(_mm_unpackhi_epi64(many, many));
#endif
        totals[i] = total;
    }
}

/* One output row of `pixels` pixels against the columns n, n + 1, ... of a tile of nv vectors. */
KK_INLINE void kk_dot_row(const kk_dot *g, const uint8_t *a, const int8_t *b, ptrdiff_t width, const int32_t *table,
                          const kk_multiplier_set *set, const int32_t *totals, uint8_t *c, int pixels, int most, int nv, int columns)
{
    int tiles = (pixels + most - 1) / most, low = pixels / tiles, larger = pixels % tiles;
    vi sums[KK_DOT_MR * 4];
    for (int t = 0; t < tiles; t++) {
        int mr = low + (t < larger);
        kk_dot_tiles[nv][mr](g, a, b, width, (ptrdiff_t)g->K * KK_DOT_PANEL, table, sums);
        kk_levels_put(&g->levels, set, table, sums, 4, mr, nv, g->zero, totals, c, g->c_px, columns);
        a += mr * g->a_px;
        c += mr * g->c_px;
        totals += mr;
    }
}

KK_FUNCTION void kk_dot_rows(const kk_dot *g, const uint8_t *a, const int8_t *b, const int32_t *table, int32_t *totals,
                             uint8_t *c, int rows, int pixels)
{
    const int full = g->N / KK_DOT_PANEL, most_wide = pixels <= KK_DOT_MR_WIDE ? KK_DOT_MR_WIDE : KK_DOT_MR;
    const int wide = pixels <= KK_DOT_MR_WIDE ? 4 : 2;
    if (g->zero)
        for (int h = 0; h < rows; h++)
            kk_dot_totals(g, a + h * g->a_row, pixels, totals + h * pixels);
    for (int n = 0; n < g->N;) {
        int panel = n / KK_DOT_PANEL, inside = n % KK_DOT_PANEL, last = panel == full;
        ptrdiff_t width = last ? (g->N % KK_DOT_PANEL + 7) / 8 * 8 : KK_DOT_PANEL;
        int end = last ? g->N
                  : 4 * KK_VL > KK_DOT_PANEL && panel + 2 <= full ? n + 2 * KK_DOT_PANEL
                                                                  : (panel + 1) * KK_DOT_PANEL;
        int nv = (end - n + KK_VL - 1) / KK_VL;
        nv = nv > wide ? wide : nv == 3 ? 2 : nv;
        int columns = nv * KK_VL < end - n ? nv * KK_VL : end - n;
        int most = nv == 4 ? most_wide : KK_DOT_MR;
        const int8_t *panel_at = b + (ptrdiff_t)panel * g->K * KK_DOT_PANEL + inside * 4;
        kk_multiplier_set set;
        kk_prepare_levels(&g->levels, table + n, nv, &set);
        for (int h = 0; h < rows; h++)
            kk_dot_row(g, a + h * g->a_row, panel_at, width, table + n, &set, totals + h * pixels,
                       c + h * g->c_row + n, pixels, most, nv, columns);
        n += columns;
    }
}

/* `rows` output rows from the first; totals: room for a number per pixel of them, where the weights' zero is not 0. */
KK_FUNCTION void kk_dot_run(const kk_dot *g, const uint8_t *a, const int8_t *b, const int32_t *table, int32_t *totals,
                            uint8_t *c, int rows)
{
    if (g->flat) {
        int all = rows * g->W, block = (int)(KK_DOT_BLOCK_BYTES / g->a_px) / KK_DOT_MR * KK_DOT_MR;
        block = block < KK_DOT_MR ? KK_DOT_MR : block;
        for (int p = 0; p < all; p += block)
            kk_dot_rows(g, a + p * g->a_px, b, table, totals, c + p * g->c_px, 1, all - p < block ? all - p : block);
        return;
    }
    ptrdiff_t row_bytes = g->a_row;
    int block = row_bytes < KK_DOT_BLOCK_BYTES ? (int)(KK_DOT_BLOCK_BYTES / (row_bytes + 1)) : 1;
    for (int h = 0; h < rows; h += block)
        kk_dot_rows(g, a + h * g->a_row, b, table, totals, c + h * g->c_row, rows - h < block ? rows - h : block, g->W);
}
