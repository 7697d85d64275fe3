/* Bilinear resizing of levels; channels are vectors. Positions are pairs, rows as offsets in bytes, columns as they are
 * counted; shares belong to the second.
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
    int32_t W, OH, OW, C; /* W: columns of the source */
    ptrdiff_t a_px, c_row, c_px;
} kk_level_resize;

/* A row of W pixels times its share, each pixel in a whole number of vectors. */
KK_INLINE void kk_level_row(const kk_level_resize *g, const uint8_t *a, float share, float *to)
{
    for (int x = 0; x < g->W; x++, a += g->a_px)
        for (int n = 0; n < g->C; n += KK_VL, to += KK_VL)
            vst(to, __builtin_convertvector(kk_bytes(a + n, g->C - n < KK_VL ? g->C - n : KK_VL), vf) * share);
}

KK_INLINE vf kk_corner(const float *a, float column)
{
    vf v = vld(a) * column;
    KK_KEEP(v);
    return v;
}

/* room: for two rows as kk_level_row writes them. */
KK_INLINE void kk_level_resize_float(const kk_level_resize *g, const uint8_t *a, const int32_t *rows,
                                       const float *row_shares, const int32_t *columns, const float *column_shares,
                                       float *room, uint8_t *c)
{
    const int vectors = (g->C + KK_VL - 1) / KK_VL;
    float *upper = room, *lower = room + (ptrdiff_t)g->W * vectors * KK_VL;
    for (int y = 0; y < g->OH; y++) {
        kk_level_row(g, a + rows[2 * y], 1.0f - row_shares[y], upper);
        kk_level_row(g, a + rows[2 * y + 1], row_shares[y], lower);
        for (int x = 0; x < g->OW; x++) {
            const float dx = column_shares[x];
            const ptrdiff_t x0 = (ptrdiff_t)columns[2 * x] * vectors * KK_VL;
            const ptrdiff_t x1 = (ptrdiff_t)columns[2 * x + 1] * vectors * KK_VL;
            for (int n = 0; n < g->C; n += KK_VL) {
                vf v = kk_corner(upper + x0 + n, 1.0f - dx) + kk_corner(lower + x0 + n, 1.0f - dx);
                v = v + kk_corner(upper + x1 + n, dx);
                v = v + kk_corner(lower + x1 + n, dx) + 0.5f;
                kk_put_bytes(c + y * g->c_row + x * g->c_px + n, __builtin_convertvector(v, vi),
                             g->C - n < KK_VL ? g->C - n : KK_VL);
            }
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
            ptrdiff_t x0 = columns[2 * x] * g->a_px, x1 = columns[2 * x + 1] * g->a_px;
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
