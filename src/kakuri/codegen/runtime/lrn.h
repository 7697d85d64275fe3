/* Local response normalisation across channels: x / (bias + alpha / size * sum of squares nearby)^beta, pixel by pixel. */
KK_FUNCTION void kk_lrn_pixel(const float *x, float *y, int channels, int before, int after, float bias, float scale,
                              float beta)
{
    for (int n = 0; n < channels; n++) {
        float sum = 0;
        for (int k = n - before < 0 ? 0 : n - before; k <= n + after && k < channels; k++)
            sum += x[k] * x[k];
        y[n] = bias + scale * sum;
    }
    for (int n = 0; n < channels; n += KK_VL) {
        int left = channels - n < KK_VL ? channels - n : KK_VL;
        vf power = kk_exp(-beta * kk_log(vld_n_or_all(y + n, left)));
        vst_n_or_all(y + n, vld_n_or_all(x + n, left) * power, left);
    }
}
