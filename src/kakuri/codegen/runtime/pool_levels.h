/* The largest level of each window, cut at the border. */
KK_FUNCTION void kk_pool_levels(const kk_pool *g, const uint8_t *a, uint8_t *c)
{
    for (int oy = 0; oy < g->OH; oy++)
        for (int ox = 0; ox < g->OW; ox++) {
            uint8_t *to = c + oy * g->c_row + ox * g->c_px;
            memset(to, 0, (size_t)g->C);
            for (int ky = 0; ky < g->kh; ky++)
                for (int kx = 0; kx < g->kw; kx++) {
                    int y = oy * g->sh - g->top + ky * g->dh, x = ox * g->sw - g->left + kx * g->dw;
                    if (y < 0 || y >= g->H || x < 0 || x >= g->W)
                        continue;
                    const uint8_t *p = a + y * g->a_row + x * g->a_px;
                    int n = 0;
                    for (; n + 16 <= g->C; n += 16) {
                        typedef uint8_t bytes __attribute__((vector_size(16)));
                        bytes old, new;
                        memcpy(&old, to + n, 16);
                        memcpy(&new, p + n, 16);
                        bytes more = (bytes)(new > old);
                        old = (new & more) | (old & ~more);
                        memcpy(to + n, &old, 16);
                    }
                    for (; n < g->C; n++)
                        to[n] = p[n] > to[n] ? p[n] : to[n];
                }
        }
}
