/* Interpolation between rows and pixels; channels are vectors. Tables: for each output row (column) the two input rows
 * (columns) as offsets in floats, and the weight of the second one; equal offsets where nothing is interpolated.
 */
typedef struct {
    int32_t OH, OW, C;
    ptrdiff_t c_row, c_px;
} kk_resize;

KK_FUNCTION void kk_resize_run(const kk_resize *g, const float *a, const int32_t *rows, const float *row_weights,
                               const int32_t *columns, const float *column_weights, float *c)
{
    for (int oy = 0; oy < g->OH; oy++)
        for (int ox = 0; ox < g->OW; ox++) {
            const float *top = a + rows[2 * oy], *bottom = a + rows[2 * oy + 1];
            const int32_t left = columns[2 * ox], right = columns[2 * ox + 1];
            const float wy = row_weights[oy], wx = column_weights[ox];
            float *to = c + oy * g->c_row + ox * g->c_px;
            int n = 0;
            for (; n + KK_VL <= g->C; n += KK_VL) {
                vf upper = vld(top + left + n) * (1.0f - wx) + vld(top + right + n) * wx;
                vf lower = vld(bottom + left + n) * (1.0f - wx) + vld(bottom + right + n) * wx;
                vst(to + n, upper * (1.0f - wy) + lower * wy);
            }
            if (n < g->C) {
                int rest = g->C - n;
                vf upper = vld_n(top + left + n, rest) * (1.0f - wx) + vld_n(top + right + n, rest) * wx;
                vf lower = vld_n(bottom + left + n, rest) * (1.0f - wx) + vld_n(bottom + right + n, rest) * wx;
                vst_n(to + n, upper * (1.0f - wy) + lower * wy, rest);
            }
        }
}
