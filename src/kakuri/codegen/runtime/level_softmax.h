/* Softmax of one row of levels in fixed point: a table of exponentials, one reciprocal by Newton's method. */
KK_INLINE int32_t kk_saturated_up(int32_t x, int bits)
{
    int64_t wide = (int64_t)x << bits;
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* 1 / (1 + a) for a fraction a of 2^31, as such a fraction. */
KK_INLINE int32_t kk_reciprocal_of_one_plus(int32_t a)
{
    int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) >> 1);
    int32_t x = 1515870810 + kk_high_multiply(half, -1010580540);
    for (int i = 0; i < 3; i++) {
        int32_t error = (1 << 29) - kk_high_multiply(half, x);
        x = (int32_t)((uint32_t)x + (uint32_t)kk_saturated_up(kk_high_multiply(x, error), 2));
    }
    return kk_saturated_up(x, 1);
}

/* table: by distance from the largest level; distances from `near` on do not count. */
KK_FUNCTION void kk_level_softmax(const uint8_t *x, uint8_t *y, const int32_t *table, int n, int near, int start, int low,
                                  int high)
{
    int most = 0;
    uint32_t sum = 0;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++)
        if (most - x[i] < near)
            sum += (uint32_t)kk_divide_by_power(table[most - x[i]], 12);
    int headroom = __builtin_clz(sum);
    int32_t reciprocal = kk_reciprocal_of_one_plus((int32_t)((sum << headroom) - (1u << 31)));
    int exponent = 12 - headroom + 31 - 8;
    for (int i = 0; i < n; i++) {
        int32_t v = 0;
        if (most - x[i] < near)
            v = exponent > 31 ? 0 : kk_divide_by_power(kk_high_multiply(reciprocal, table[most - x[i]]), exponent);
        v += start;
        y[i] = (uint8_t)(v < low ? low : v > high ? high : v);
    }
}
