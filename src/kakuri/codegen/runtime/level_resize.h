/* Bilinear resizing of levels; channels are vectors. Positions are pairs of offsets in bytes, shares belong to the second.
 * What has to round as the source does is kept from being contracted.
 */
#if defined(KK_AVX512) || defined(KK_AVX2) || defined(KK_SSE)
#define KK_KEEP(v) __asm__("" : "+v"(v))
#elif defined(KK_NEON)
#define KK_KEEP(v) __asm__("" : "+w"(v))
#else
#define KK_KEEP(v) __asm__("" : "+m"(v))
#endif

typedef struct {
    int32_t OH, OW, C;
    ptrdiff_t c_row, c_px;
} kk_level_resize;

KK_INLINE vf kk_corner(const uint8_t *a, int n, float row, float column)
{
    vf v = __builtin_convertvector(kk_bytes(a, n), vf) * row;
    KK_KEEP(v);
    v = v * column;
    KK_KEEP(v);
    return v;
}

KK_INLINE void kk_level_resize_float(const kk_level_resize *g, const uint8_t *a, const int32_t *rows,
                                       const float *row_shares, const int32_t *columns, const float *column_shares,
                                       uint8_t *c)
{
    for (int y = 0; y < g->OH; y++)
        for (int x = 0; x < g->OW; x++) {
            const uint8_t *r0 = a + rows[2 * y], *r1 = a + rows[2 * y + 1];
            float dy = row_shares[y], dx = column_shares[x];
            int x0 = columns[2 * x], x1 = columns[2 * x + 1];
            for (int n = 0; n < g->C; n += KK_VL) {
                int many = g->C - n < KK_VL ? g->C - n : KK_VL;
                vf v = kk_corner(r0 + x0 + n, many, 1.0f - dy, 1.0f - dx) + kk_corner(r1 + x0 + n, many, dy, 1.0f - dx);
                v = v + kk_corner(r0 + x1 + n, many, 1.0f - dy, dx);
                v = v + kk_corner(r1 + x1 + n, many, dy, dx) + 0.5f;
                kk_put_bytes(c + y * g->c_row + x * g->c_px + n, __builtin_convertvector(v, vi), many);
            }
        }
}

/* Levels lie 128 higher than the integers that the source rounds. */
KK_INLINE void kk_level_resize_integer(const kk_level_resize *g, const uint8_t *a, const int32_t *rows,
                                         const int32_t *row_shares, const int32_t *columns,
                                         const int32_t *column_shares, uint8_t *c)
{
    for (int y = 0; y < g->OH; y++)
        for (int x = 0; x < g->OW; x++) {
            const uint8_t *r0 = a + rows[2 * y], *r1 = a + rows[2 * y + 1];
            int32_t dy = row_shares[y], dx = column_shares[x];
            int x0 = columns[2 * x], x1 = columns[2 * x + 1];
            for (int n = 0; n < g->C; n += KK_VL) {
                int many = g->C - n < KK_VL ? g->C - n : KK_VL;
                vi v = (kk_bytes(r0 + x0 + n, many) - 128) * ((1024 - dy) * (1024 - dx));
                v += (kk_bytes(r1 + x0 + n, many) - 128) * (dy * (1024 - dx));
                v += (kk_bytes(r0 + x1 + n, many) - 128) * ((1024 - dy) * dx);
                v += (kk_bytes(r1 + x1 + n, many) - 128) * (dy * dx);
                v += viselect(v > 0, vidup(1 << 19), vidup(-(1 << 19)));
                v = (v + ((v >> 31) & ((1 << 20) - 1))) >> 20; /* towards zero */
                kk_put_bytes(c + y * g->c_row + x * g->c_px + n, v + 128, many);
            }
        }
}
