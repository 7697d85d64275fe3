/* Products of bytes whose sums are short: each layer has tiles of its own, whose sizes are known when they are compiled
 * (as in conv_short.h). W: pixels of an output row, N: its channels, as literals. With shorter vectors the arithmetic
 * counts more, and dot.h does.
 */
#if !defined(KK_AVX512)
#define kk_dot_short_run(g, a, b, table, rest, panel, c, rows, W, N) kk_dot_run(g, a, b, table, rest, panel, c, rows)
#else
#define KK_DOT_SHORT_BLOCK_BYTES (16 * 1024)

KK_INLINE void kk_dot_short_tile(const kk_dot *g, const uint8_t *a, const int8_t *b, ptrdiff_t width,
                                 const int32_t *table, const kk_dot_rest *rest, const kk_multiplier_set *set,
                                 uint8_t *c, const int mr, const int nv, const int columns)
{
    vi sums[KK_DOT_MR * 4];
    kk_dot_body(g, a, b, width, 0, table, rest, sums, mr, nv);
    kk_levels_write(&g->levels, set, table, sums, 4, mr, nv, c, g->c_px, columns);
}

KK_INLINE void kk_dot_short_columns(const kk_dot *g, const uint8_t *a, const int8_t *b, const int32_t *table,
                                    kk_dot_rest rest, uint8_t *c, int rows, const int W, const int N, int n,
                                    const int nv, const int columns)
{
    const int tiles = (W + KK_DOT_MR - 1) / KK_DOT_MR, few = W / tiles, more = W % tiles, panel = n / KK_DOT_PANEL;
    const ptrdiff_t width = N % KK_DOT_PANEL && panel == N / KK_DOT_PANEL ? (N % KK_DOT_PANEL + 7) / 8 * 8 : KK_DOT_PANEL;
    const int8_t *at = b + (ptrdiff_t)panel * g->K * KK_DOT_PANEL + n % KK_DOT_PANEL * 4;
    kk_multiplier_set set;
    kk_prepare_levels(&g->levels, table + n, nv, &set);
    rest.panel += panel;
    rest.inside = n % KK_DOT_PANEL;
    for (int h = 0; h < rows; h++) {
        const uint8_t *from = a + h * g->a_row;
        uint8_t *to = c + h * g->c_row + n;
        for (int t = 0; t < more; t++, from += (few + 1) * g->a_px, to += (few + 1) * g->c_px)
            kk_dot_short_tile(g, from, at, width, table + n, &rest, &set, to, few + 1, nv, columns);
        for (int t = more; t < tiles; t++, from += few * g->a_px, to += few * g->c_px)
            kk_dot_short_tile(g, from, at, width, table + n, &rest, &set, to, few, nv, columns);
    }
}

/* `rows` output rows from the first; rest_of_all, panel: as in dot.h. */
KK_INLINE void kk_dot_short_run(const kk_dot *g, const uint8_t *a, const int8_t *b, const int32_t *table,
                                const int32_t *rest_of_all, int panel, uint8_t *c, int rows, const int W, const int N)
{
    const kk_dot_rest rest = {rest_of_all, panel, 0};
    const int pairs = N / (2 * KK_VL), left = N % (2 * KK_VL);
    const int block = g->a_row < KK_DOT_SHORT_BLOCK_BYTES ? (int)(KK_DOT_SHORT_BLOCK_BYTES / (g->a_row + 1)) : 1;
    for (int h = 0; h < rows; h += block) {
        const int some = rows - h < block ? rows - h : block;
        const uint8_t *from = a + h * g->a_row;
        uint8_t *to = c + h * g->c_row;
        for (int i = 0; i < pairs; i++)
            kk_dot_short_columns(g, from, b, table, rest, to, some, W, N, i * 2 * KK_VL, 2, 2 * KK_VL);
        if (left)
            kk_dot_short_columns(g, from, b, table, rest, to, some, W, N, pairs * 2 * KK_VL, left > KK_VL ? 2 : 1, left);
    }
}
#endif
