/* Convolutions whose sums are short: there the tile's own instructions count, so each layer has tiles of its own, whose
 * sizes are known when they are compiled. W: pixels of an output row, N: its channels, as literals.
 */
KK_INLINE void kk_short_columns(const kk_conv *g, const float *a, const float *b, const float *bias, const float *r,
                                float *c, const int W, const int N, int n, const int nv, const int columns)
{
    const int tiles = (W + KK_MR - 1) / KK_MR, few = W / tiles, more = W % tiles, panel = n / KK_PANEL;
    const ptrdiff_t width = N % KK_PANEL && panel == N / KK_PANEL ? (N % KK_PANEL + 7) / 8 * 8 : KK_PANEL;
    const float *at = b + (ptrdiff_t)panel * g->K * KK_PANEL + n % KK_PANEL;
    for (int t = 0, p = 0; t < more; t++, p += few + 1)
        kk_tile_body(g, a + p * g->a_px, at, width, 0, bias + n, r ? r + p * g->r_px + n : r, c + p * g->c_px + n,
                     columns, few + 1, nv, 1);
    for (int t = more, p = more * (few + 1); t < tiles; t++, p += few)
        kk_tile_body(g, a + p * g->a_px, at, width, 0, bias + n, r ? r + p * g->r_px + n : r, c + p * g->c_px + n,
                     columns, few, nv, 1);
}

KK_INLINE void kk_short_run(const kk_conv *g, const float *a, const float *b, const float *bias, const float *r,
                            float *c, int rows, const int W, const int N)
{
    const int pairs = N / (2 * KK_VL), rest = N % (2 * KK_VL);
    for (int h = 0; h < rows; h++) {
        for (int i = 0; i < pairs; i++)
            kk_short_columns(g, a, b, bias, r, c, W, N, i * 2 * KK_VL, 2, 2 * KK_VL);
        if (rest)
            kk_short_columns(g, a, b, bias, r, c, W, N, pairs * 2 * KK_VL, rest > KK_VL ? 2 : 1, rest);
        a += g->a_row;
        c += g->c_row;
        r = r ? r + g->r_row : r;
    }
}
