/* One direction of an LSTM with its usual activations.
 * pre: what the inputs and biases add to the gates, [step][4 * hidden], gates in the order input, output, forget, cell;
 * weights: [hidden][4 * hidden]; h, c: the state, read and written; y: the hidden state after each step.
 */
typedef struct {
    int32_t steps, hidden, reverse;
    ptrdiff_t pre_step, y_step;
} kk_lstm;

KK_FUNCTION void kk_lstm_run(const kk_lstm *g, const float *pre, const float *weights, float *h, float *c, float *gates,
                             float *y)
{
    const int n = g->hidden, wide = 4 * n;
    for (int step = 0; step < g->steps; step++) {
        const int t = g->reverse ? g->steps - 1 - step : step;
        for (int j = 0; j < wide; j += KK_VL) {
            const int left = wide - j < KK_VL ? wide - j : KK_VL;
            const float *w = weights + j;
            vf sum = vld_n_or_all(pre + t * g->pre_step + j, left);
            for (int k = 0; k < n; k++, w += wide)
                sum += h[k] * vld_n_or_all(w, left);
            vst_n_or_all(gates + j, sum, left);
        }
        for (int j = 0; j < n; j += KK_VL) {
            const int left = n - j < KK_VL ? n - j : KK_VL;
            vf in = kk_sigmoid(vld_n_or_all(gates + j, left)), out = kk_sigmoid(vld_n_or_all(gates + n + j, left));
            vf keep = kk_sigmoid(vld_n_or_all(gates + 2 * n + j, left));
            vf cell = kk_tanh(vld_n_or_all(gates + 3 * n + j, left));
            cell = keep * vld_n_or_all(c + j, left) + in * cell;
            vf hidden = out * kk_tanh(cell);
            vst_n_or_all(c + j, cell, left);
            vst_n_or_all(h + j, hidden, left);
            vst_n_or_all(y + t * g->y_step + j, hidden, left);
        }
    }
}
