/* Means and sums of levels over windows that are cut at the border; channels are vectors.
 * mean: of the integers, halves away from zero; otherwise the sum times a multiplier. less: what each level is lowered
 * by before, more: what is added after.
 */
typedef struct {
    int32_t H, W, OH, OW, C, kh, kw, sh, sw, top, left;
    int32_t mean, significand, shift, less, more, low, high;
    ptrdiff_t a_row, a_px, c_row, c_px;
} kk_level_pool;

KK_INLINE int32_t kk_level_of_sum(const kk_level_pool *g, int32_t sum, int cells)
{
    int32_t half = cells / 2;
    sum -= g->less * cells;
    int32_t v = !g->mean ? kk_multiply(sum, g->significand, g->shift)
                : sum > 0 ? (sum + half) / cells
                          : (sum - half) / cells;
    v += g->more;
    return v < g->low ? g->low : v > g->high ? g->high : v;
}

KK_FUNCTION void kk_level_pool_run(const kk_level_pool *g, const uint8_t *a, uint8_t *c)
{
    for (int oy = 0; oy < g->OH; oy++)
        for (int ox = 0; ox < g->OW; ox++) {
            int y = oy * g->sh - g->top, x = ox * g->sw - g->left;
            int y1 = y + g->kh < g->H ? y + g->kh : g->H, x1 = x + g->kw < g->W ? x + g->kw : g->W;
            y = y < 0 ? 0 : y;
            x = x < 0 ? 0 : x;
            for (int n = 0; n < g->C; n += KK_VL) {
                int many = g->C - n < KK_VL ? g->C - n : KK_VL;
                vi sum = {0};
                for (int i = y; i < y1; i++)
                    for (int j = x; j < x1; j++)
                        sum += kk_bytes(a + i * g->a_row + j * g->a_px + n, many);
                for (int k = 0; k < many; k++)
                    c[oy * g->c_row + ox * g->c_px + n + k] =
                        (uint8_t)kk_level_of_sum(g, sum[k], (y1 - y) * (x1 - x));
            }
        }
}
