/* Convolution and matrix product of unsigned levels with signed 8-bit weights, as register tiles like those of conv.h.
 *
 * Weights: panels of KK_DOT_PANEL columns, [panel][taps / 4][column][4]; the last panel is as wide as its columns,
 * rounded up to 8. A segment's taps are padded with zeros to a multiple of 4; what is read beyond its end counts nothing.
 * What of a weight is beyond 8 bits stands in `rest`, see rest.py: taps that are multiplied once more.
 */
#define KK_DOT_PANEL 32
#define KK_DOT_BLOCK_BYTES (192 * 1024)

typedef struct {
    int32_t W, N, K;              /* pixels of an output row, columns; padded taps */
    int32_t kh, kw, len, flat;    /* segments, their padded length; as in kk_conv */
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

/* What is beyond 8 bits of the columns of a tile: of the panel that they begin in, from column `inside` on. */
typedef struct {
    const int32_t *all;
    int panel, inside;
} kk_dot_rest;
typedef void kk_dot_tile(const kk_dot *g, const uint8_t *a, const int8_t *b, ptrdiff_t width, ptrdiff_t next,
                         const int32_t *table, const kk_dot_rest *rest, vi *sums);

KK_INLINE void kk_dot_body(const kk_dot *g, const uint8_t *restrict a, const int8_t *restrict b, const ptrdiff_t width,
                           const ptrdiff_t next, const int32_t *table, const kk_dot_rest *rest, vi *sums, const int mr,
                           const int nv)
{
    enum { PV = KK_DOT_PANEL / KK_VL };
    const ptrdiff_t px = g->a_px, row_gap = g->a_ky - g->kw * g->a_kx;
    const int len = g->len;
    const uint8_t *first = a;
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
    if (rest->all)
#pragma GCC unroll 2
        for (int h = 0; h < (nv + PV - 1) / PV; h++) {
            const int32_t *begins = rest->all + rest->panel + h;
            for (const int32_t *tap = rest->all + begins[0]; tap < rest->all + begins[1]; tap += 1 + KK_DOT_PANEL)
#pragma GCC unroll 16
                for (int i = 0; i < mr; i++) {
                    int32_t four;
                    memcpy(&four, first + i * px + tap[0], 4);
                    kk_dot_a pixel = kk_dot_prepare(vidup(four));
#pragma GCC unroll 4
                    for (int j = 0; j < nv; j++)
                        if (j / PV == h)
                            acc[i][j] = kk_dot_add(acc[i][j], pixel, vild(tap + 1 + rest->inside + j % PV * KK_VL));
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
                                             ptrdiff_t next, const int32_t *table, const kk_dot_rest *rest, vi *sums)  \
    {                                                                                                                  \
        kk_dot_body(g, a, b, width, next, table, rest, sums, MR, NV);                                                  \
    }
#define KK_NAME_DOT_TILE(MR, NV) [NV][MR] = kk_dot_tile_##MR##_##NV,
KK_DOT_TILES(KK_DEFINE_DOT_TILE)
static kk_dot_tile *const kk_dot_tiles[5][KK_DOT_MR + 1] = {KK_DOT_TILES(KK_NAME_DOT_TILE)};

/* One output row of `pixels` pixels against the columns n, n + 1, ... of a tile of nv vectors. */
KK_INLINE void kk_dot_row(const kk_dot *g, const uint8_t *a, const int8_t *b, ptrdiff_t width, const int32_t *table,
                          const kk_dot_rest *rest, const kk_multiplier_set *set, uint8_t *c, int pixels, int most,
                          int nv, int columns)
{
    int tiles = (pixels + most - 1) / most, low = pixels / tiles, larger = pixels % tiles;
    vi sums[KK_DOT_MR * 4];
    for (int t = 0; t < tiles; t++) {
        int mr = low + (t < larger);
        kk_dot_tiles[nv][mr](g, a, b, width, (ptrdiff_t)g->K * KK_DOT_PANEL, table, rest, sums);
        kk_levels_put(&g->levels, set, table, sums, 4, mr, nv, c, g->c_px, columns);
        a += mr * g->a_px;
        c += mr * g->c_px;
    }
}

KK_FUNCTION void kk_dot_rows(const kk_dot *g, const uint8_t *a, const int8_t *b, const int32_t *table,
                             kk_dot_rest rest, uint8_t *c, int rows, int pixels)
{
    const int full = g->N / KK_DOT_PANEL, most_wide = pixels <= KK_DOT_MR_WIDE ? KK_DOT_MR_WIDE : KK_DOT_MR;
    const int wide = pixels <= KK_DOT_MR_WIDE ? 4 : 2;
    const int panels_before = rest.panel;
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
        rest.panel = panels_before + panel;
        rest.inside = inside;
        for (int h = 0; h < rows; h++)
            kk_dot_row(g, a + h * g->a_row, panel_at, width, table + n, &rest, &set,
                       c + h * g->c_row + n, pixels, most, nv, columns);
        n += columns;
    }
}

/* `rows` output rows from the first. rest: of all groups, or 0; panel: the group's first one there. */
KK_FUNCTION void kk_dot_run(const kk_dot *g, const uint8_t *a, const int8_t *b, const int32_t *table,
                            const int32_t *rest_of_all, int panel, uint8_t *c, int rows)
{
    const kk_dot_rest rest = {rest_of_all, panel, 0};
    if (g->flat) {
        int all = rows * g->W, block = (int)(KK_DOT_BLOCK_BYTES / g->a_px) / KK_DOT_MR * KK_DOT_MR;
        block = block < KK_DOT_MR ? KK_DOT_MR : block;
        for (int p = 0; p < all; p += block)
            kk_dot_rows(g, a + p * g->a_px, b, table, rest, c + p * g->c_px, 1, all - p < block ? all - p : block);
        return;
    }
    ptrdiff_t row_bytes = g->a_row;
    int block = row_bytes < KK_DOT_BLOCK_BYTES ? (int)(KK_DOT_BLOCK_BYTES / (row_bytes + 1)) : 1;
    for (int h = 0; h < rows; h += block)
        kk_dot_rows(g, a + h * g->a_row, b, table, rest, c + h * g->c_row, rows - h < block ? rows - h : block, g->W);
}
