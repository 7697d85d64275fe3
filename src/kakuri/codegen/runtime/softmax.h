/* exp(x - max) over their sum, along n consecutive floats; or the logarithm of it. */
KK_FUNCTION void kk_softmax(const float *x, float *y, int n, int logarithm)
{
    float top = x[0], total = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i += KK_VL) {
        int left = n - i;
        vf v = (left >= KK_VL ? vld(x + i) : vld_n(x + i, left)) - top;
        vf e = kk_exp(v);
        float lanes[KK_VL];
        vst(lanes, e);
        for (int j = 0; j < KK_VL && j < left; j++)
            total += lanes[j];
        v = logarithm ? v : e;
        if (left >= KK_VL)
            vst(y + i, v);
        else
            vst_n(y + i, v, left);
    }
    float lanes[KK_VL];
    vst(lanes, kk_log(vdup(total)));
    float scale = logarithm ? 1.0f : 1.0f / total, shift = logarithm ? lanes[0] : 0.0f;
    for (int i = 0; i < n; i++)
        y[i] = y[i] * scale - shift;
}
