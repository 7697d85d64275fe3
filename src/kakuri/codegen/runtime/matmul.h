/* C (M, N) = A (M, K) B (K, N), both computed at run time; columns of B and C are consecutive. */
KK_FUNCTION void kk_matmul(const float *a, ptrdiff_t a_row, ptrdiff_t a_k, const float *b, ptrdiff_t b_row, float *c,
                           ptrdiff_t c_row, int M, int N, int K)
{
    for (int n = 0; n < N; n += KK_VL) {
        int left = N - n;
        for (int m = 0; m < M; m++) {
            vf acc = vdup(0.0f);
            for (int k = 0; k < K; k++) {
                const float *p = b + k * b_row + n;
                acc += a[m * a_row + k * a_k] * (left >= KK_VL ? vld(p) : vld_n(p, left));
            }
            if (left >= KK_VL)
                vst(c + m * c_row + n, acc);
            else
                vst_n(c + m * c_row + n, acc, left);
        }
    }
}
