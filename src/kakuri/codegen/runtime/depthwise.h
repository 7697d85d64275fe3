/* Depthwise convolution, one output row at a time, kernel size and stride fixed at compile time.
 * Weights: [tap][channel].
 */
typedef struct {
    int32_t W, C;                     /* output pixels of a row, channels */
    ptrdiff_t a_px, a_ky, a_kx;       /* input: floats to the next pixel, tap row, tap */
    ptrdiff_t c_px;                   /* output */
    float low, high;
} kk_depthwise;

/* Outputs computed together, so that their sums do not wait for each other. */
#if defined(KK_AVX512) || defined(KK_NEON)
#define KK_DEPTHWISE_PIXELS 8
#else
#define KK_DEPTHWISE_PIXELS 4
#endif

KK_INLINE void kk_depthwise_pixels(const kk_depthwise *g, const float *restrict a, const float *restrict w, vf bias,
                                   float *restrict c, const int kh, const int kw, const int stride, const int shared,
                                   const int pixels)
{
    vf acc[KK_DEPTHWISE_PIXELS];
#pragma GCC unroll 8
    for (int t = 0; t < pixels; t++)
        acc[t] = bias;
    for (int y = 0; y < kh; y++) {
        const float *row = a + y * g->a_ky, *taps = w + (ptrdiff_t)y * kw * g->C;
        if (shared) {
#pragma GCC unroll 32
            for (int u = 0; u < (pixels - 1) * stride + kw; u++) {
                vf v = vld(row + u * g->a_px);
#pragma GCC unroll 8
                for (int t = 0; t < pixels; t++)
                    if (u >= t * stride && u - t * stride < kw)
                        acc[t] += v * vld(taps + (ptrdiff_t)(u - t * stride) * g->C);
            }
        } else {
            for (int x = 0; x < kw; x++) {
                vf tap = vld(taps + (ptrdiff_t)x * g->C);
#pragma GCC unroll 8
                for (int t = 0; t < pixels; t++)
                    acc[t] += tap * vld(row + x * g->a_kx + t * stride * g->a_px);
            }
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < pixels; t++)
        vst(c + t * g->c_px, vclamp(acc[t], g->low, g->high));
}

/* Channels that fill no vector. */
KK_FUNCTION void kk_depthwise_rest(const kk_depthwise *g, const float *a, const float *w, const float *bias, float *c,
                                   int kh, int kw, int stride, int n)
{
    for (int m = 0; m < g->W; m++) {
        vf acc = vld_n(bias, n);
        for (int y = 0; y < kh; y++)
            for (int x = 0; x < kw; x++)
                acc += vld_n(a + m * stride * g->a_px + y * g->a_ky + x * g->a_kx, n) *
                       vld_n(w + (ptrdiff_t)(y * kw + x) * g->C, n);
        vst_n(c + m * g->c_px, vclamp(acc, g->low, g->high), n);
    }
}

/* shared: taps are one pixel apart, so that neighbouring outputs share their loads. W: output pixels of a row. */
KK_INLINE void kk_depthwise_row(const kk_depthwise *g, const float *a, const float *w, const float *bias, float *c,
                                const int kh, const int kw, const int stride, const int shared, const int W)
{
    const int tiles = (W + KK_DEPTHWISE_PIXELS - 1) / KK_DEPTHWISE_PIXELS, few = W / tiles, more = W % tiles;
    for (int n = 0; n < g->C; n += KK_VL) {
        int left = g->C - n;
        if (left < KK_VL) {
            if (n == 0) {
                kk_depthwise_rest(g, a, w, bias, c, kh, kw, stride, left);
                return;
            }
            n = g->C - KK_VL;
        }
        vf start = vld(bias + n);
        const float *from = a + n;
        float *to = c + n;
        for (int t = 0; t < more; t++, from += (few + 1) * stride * g->a_px, to += (few + 1) * g->c_px)
            kk_depthwise_pixels(g, from, w + n, start, to, kh, kw, stride, shared, few + 1);
        for (int t = more; t < tiles; t++, from += few * stride * g->a_px, to += few * g->c_px)
            kk_depthwise_pixels(g, from, w + n, start, to, kh, kw, stride, shared, few);
    }
}
