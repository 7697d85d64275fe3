/* Pooling over windows that are cut at the border; channels are vectors. */
typedef struct {
    int32_t H, W, OH, OW, C;
    int32_t kh, kw, sh, sw, dh, dw, top, left;
    ptrdiff_t a_row, a_px, c_row, c_px;
    int32_t divisor;              /* of the sum; 0: the number of cells inside the map */
} kk_pool;

/* How many cells of a window that starts at `at` are inside the map, and which is the first. */
KK_INLINE int kk_inside(int at, int step, int cells, int size, int *first)
{
    *first = 0;
    if (at >= 0 && at + (cells - 1) * step < size)
        return cells;
    *first = at < 0 ? (-at + step - 1) / step : 0;
    int end = size > at ? (size - at + step - 1) / step : 0;
    end = end < cells ? end : cells;
    return end - *first;
}

/* Channels of a window of which rows x columns cells from `a` on are inside. */
KK_INLINE vf kk_pool_cell(const kk_pool *g, const float *a, int rows, int columns, int channels, const int largest)
{
    const ptrdiff_t down = g->dh * g->a_row, right = g->dw * g->a_px;
    const int cells = g->divisor ? g->divisor : rows * columns;
    vf acc = vdup(largest ? -__builtin_inff() : 0.0f);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            vf v = vld_n_or_all(a + y * down + x * right, channels);
            acc = largest ? vmax(acc, v) : acc + v;
        }
    if (largest)
        return acc;
    return cells & (cells - 1) ? acc / (float)cells : acc * (1.0f / (float)cells); /* the same number, faster */
}

KK_INLINE void kk_pool_run(const kk_pool *g, const float *a, float *c, const int largest)
{
    for (int oy = 0; oy < g->OH; oy++) {
        int top, y = oy * g->sh - g->top, rows = kk_inside(y, g->dh, g->kh, g->H, &top);
        for (int ox = 0; ox < g->OW; ox++) {
            int left, x = ox * g->sw - g->left, columns = kk_inside(x, g->dw, g->kw, g->W, &left), n = 0;
            const float *p = a + (y + top * g->dh) * g->a_row + (x + left * g->dw) * g->a_px;
            float *to = c + oy * g->c_row + ox * g->c_px;
            for (; n + KK_VL <= g->C; n += KK_VL)
                vst(to + n, kk_pool_cell(g, p + n, rows, columns, KK_VL, largest));
            if (n < g->C)
                vst_n(to + n, kk_pool_cell(g, p + n, rows, columns, g->C - n, largest), g->C - n);
        }
    }
}
KK_INLINE void kk_pool_max(const kk_pool *g, const float *a, float *c) { kk_pool_run(g, a, c, 1); }
KK_INLINE void kk_pool_sum(const kk_pool *g, const float *a, float *c) { kk_pool_run(g, a, c, 0); }
