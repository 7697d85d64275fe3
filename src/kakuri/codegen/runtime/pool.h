/* Pooling over windows that are cut at the border; channels are vectors. */
typedef struct {
    int32_t H, W, OH, OW, C;
    int32_t kh, kw, sh, sw, dh, dw, top, left;
    ptrdiff_t a_row, a_px, c_row, c_px;
    int32_t divisor;              /* of the sum; 0: the number of cells inside the map */
} kk_pool;

KK_INLINE vf kk_pool_cell(const kk_pool *g, const float *a, int y0, int x0, int n, const int largest)
{
    vf acc = vdup(largest ? -__builtin_inff() : 0.0f);
    int cells = 0;
    for (int ky = 0; ky < g->kh; ky++) {
        int y = y0 + ky * g->dh;
        if (y < 0 || y >= g->H)
            continue;
        for (int kx = 0; kx < g->kw; kx++) {
            int x = x0 + kx * g->dw;
            if (x < 0 || x >= g->W)
                continue;
            const float *p = a + y * g->a_row + x * g->a_px;
            vf v = n == KK_VL ? vld(p) : vld_n(p, n);
            acc = largest ? vmax(acc, v) : acc + v;
            cells++;
        }
    }
    return largest ? acc : acc / (float)(g->divisor ? g->divisor : cells);
}

KK_INLINE void kk_pool_run(const kk_pool *g, const float *a, float *c, const int largest)
{
    for (int oy = 0; oy < g->OH; oy++)
        for (int ox = 0; ox < g->OW; ox++)
            for (int n = 0; n < g->C; n += KK_VL) {
                int left = g->C - n, y0 = oy * g->sh - g->top, x0 = ox * g->sw - g->left;
                float *to = c + oy * g->c_row + ox * g->c_px + n;
                if (left >= KK_VL)
                    vst(to, kk_pool_cell(g, a + n, y0, x0, KK_VL, largest));
                else
                    vst_n(to, kk_pool_cell(g, a + n, y0, x0, left, largest), left);
            }
}
KK_FUNCTION void kk_pool_max(const kk_pool *g, const float *a, float *c) { kk_pool_run(g, a, c, 1); }
KK_FUNCTION void kk_pool_sum(const kk_pool *g, const float *a, float *c) { kk_pool_run(g, a, c, 0); }
