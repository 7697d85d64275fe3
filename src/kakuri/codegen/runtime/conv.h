/* Convolution and matrix product as register tiles: KK_MR pixels by up to four vectors of output channels.
 *
 * Weights: panels of KK_PANEL columns, [panel][tap][column]; the last panel is as wide as its columns, rounded up to 8.
 * The activation is read in kh * kw segments of `len` consecutive floats; a segment holds one tap or a row of them.
 */
#define KK_PANEL 32
#define KK_BLOCK_BYTES (192 * 1024)

typedef struct {
    int32_t W, N, K;              /* pixels of an output row, channels; taps times input channels */
    int32_t kh, kw, len;          /* segments and their length */
    int32_t flat;                 /* rows follow each other without gaps: all their pixels are one row */
    ptrdiff_t a_row, a_px;        /* input: floats from an output row, a pixel to the next */
    ptrdiff_t a_ky, a_kx;         /* input: floats from a segment to the next */
    ptrdiff_t c_row, c_px;        /* output */
    ptrdiff_t r_row, r_px;        /* what is added, where there is something */
    float low, high;              /* the result is clamped */
} kk_conv;

typedef void kk_tile(const kk_conv *g, const float *a, const float *b, ptrdiff_t width, ptrdiff_t next,
                     const float *bias, const float *r, float *c, int columns);

/* known: the sizes in g are compile-time constants. */
KK_INLINE void kk_tile_body(const kk_conv *g, const float *restrict a, const float *restrict b, const ptrdiff_t width,
                            const ptrdiff_t next, const float *restrict bias, const float *r, float *c,
                            const int columns, const int mr, const int nv, const int known)
{
    enum { PV = KK_PANEL / KK_VL };
    const ptrdiff_t px = g->a_px, row_gap = g->a_ky - g->kw * g->a_kx;
    const int len = g->len, half = mr / 2;
    vf acc[KK_MR][4];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            acc[i][j] = vld(bias + j * KK_VL);
    for (int y = g->kh; y > 0; y--, a += row_gap)
        for (int x = g->kw; x > 0; x--, a += g->a_kx) {
            /* two bases, hidden from the compiler: fewer registers for addresses than one for every pixel */
            const float *front = a, *back = a + half * px;
            __asm__("" : "+r"(front), "+r"(back));
#pragma GCC unroll 2
            for (int k = 0; k < len; k++, b += width, front++, back++) {
                if (known) /* else taps that pixels share stay in registers, which takes shuffles instead of loads */
                    __asm__("" : "+r"(front), "+r"(back));
                vf row[4];
#pragma GCC unroll 4
                for (int j = 0; j < nv; j++)
                    row[j] = vld(b + (j / PV) * next + (j % PV) * KK_VL);
#pragma GCC unroll 16
                for (int i = 0; i < mr; i++) {
                    vf pixel = vdup(i < half ? front[i * px] : back[(i - half) * px]);
#pragma GCC unroll 4
                    for (int j = 0; j < nv; j++)
                        acc[i][j] += pixel * row[j];
                }
            }
        }
    const vf low = vdup(g->low), high = vdup(g->high);
    if (columns == nv * KK_VL && !r) {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                vst(c + i * g->c_px + j * KK_VL, vmin(high, vmax(low, acc[i][j])));
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        float *to = c + i * g->c_px;
        const float *add = r ? r + i * g->r_px : r;
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            vf v = acc[i][j];
            int left = columns - j * KK_VL;
            if (left >= KK_VL) {
                if (add)
                    v += vld(add + j * KK_VL);
                vst(to + j * KK_VL, vmin(high, vmax(low, v)));
            } else if (left > 0) {
                if (add)
                    v += vld_n(add + j * KK_VL, left);
                vst_n(to + j * KK_VL, vmin(high, vmax(low, v)), left);
            }
        }
    }
}

#define KK_DEFINE_TILE(MR, NV)                                                                                        \
    KK_FUNCTION void kk_tile_##MR##_##NV(const kk_conv *g, const float *a, const float *b, ptrdiff_t width,           \
                                         ptrdiff_t next, const float *bias, const float *r, float *c, int columns)   \
    {                                                                                                                 \
        kk_tile_body(g, a, b, width, next, bias, r, c, columns, MR, NV, 0);                                              \
    }
#define KK_NAME_TILE(MR, NV) [NV][MR] = kk_tile_##MR##_##NV,
KK_TILES(KK_DEFINE_TILE)
static kk_tile *const kk_tiles[5][KK_MR + 1] = {KK_TILES(KK_NAME_TILE)};

/* One output row of `pixels` pixels against the panel columns n, n + 1, ... of a tile of nv vectors. */
KK_INLINE void kk_conv_row(const kk_conv *g, const float *a, const float *b, ptrdiff_t width, const float *bias,
                           const float *r, float *c, int pixels, int most, int nv, int columns)
{
    int tiles = (pixels + most - 1) / most, low = pixels / tiles, larger = pixels % tiles;
    for (int t = 0; t < tiles; t++) {
        int mr = low + (t < larger);
        kk_tiles[nv][mr](g, a, b, width, (ptrdiff_t)g->K * KK_PANEL, bias, r, c, columns);
        a += mr * g->a_px;
        c += mr * g->c_px;
        if (r)
            r += mr * g->r_px;
    }
}

KK_FUNCTION void kk_conv_rows(const kk_conv *g, const float *a, const float *b, const float *bias, const float *r,
                              float *c, int rows, int pixels)
{
    const int full = g->N / KK_PANEL, most_wide = pixels <= KK_MR_WIDE ? KK_MR_WIDE : KK_MR;
    const int wide = pixels <= KK_MR_WIDE ? 4 : 2;
    for (int n = 0; n < g->N;) {
        int panel = n / KK_PANEL, inside = n % KK_PANEL, last = panel == full;
        ptrdiff_t width = last ? (g->N % KK_PANEL + 7) / 8 * 8 : KK_PANEL;
        int end = last ? g->N : 4 * KK_VL > KK_PANEL && panel + 2 <= full ? n + 2 * KK_PANEL : (panel + 1) * KK_PANEL;
        int nv = (end - n + KK_VL - 1) / KK_VL;
        nv = nv > wide ? wide : nv == 3 ? 2 : nv;
        int columns = nv * KK_VL < end - n ? nv * KK_VL : end - n;
        int most = nv == 4 ? most_wide : KK_MR;
        const float *panel_at = b + (ptrdiff_t)panel * g->K * KK_PANEL + inside;
        for (int h = 0; h < rows; h++)
            kk_conv_row(g, a + h * g->a_row, panel_at, width, bias + n, r ? r + h * g->r_row + n : r,
                        c + h * g->c_row + n, pixels, most, nv, columns);
        n += columns;
    }
}

/* `rows` output rows from the first. */
KK_FUNCTION void kk_conv_run(const kk_conv *g, const float *a, const float *b, const float *bias, const float *r,
                             float *c, int rows)
{
    if (g->flat) {
        int all = rows * g->W, block = (int)(KK_BLOCK_BYTES / 4 / g->a_px) / KK_MR * KK_MR;
        block = block < KK_MR ? KK_MR : block;
        for (int p = 0; p < all; p += block)
            kk_conv_rows(g, a + p * g->a_px, b, bias, r ? r + p * g->r_px : r, c + p * g->c_px, 1,
                         all - p < block ? all - p : block);
        return;
    }
    ptrdiff_t row_bytes = g->a_row * 4;
    int block = row_bytes < KK_BLOCK_BYTES ? (int)(KK_BLOCK_BYTES / (row_bytes + 1)) : 1;
    for (int h = 0; h < rows; h += block)
        kk_conv_rows(g, a + h * g->a_row, b, bias, r ? r + h * g->r_row : r, c + h * g->c_row,
                     rows - h < block ? rows - h : block, g->W);
}
