/* Elementary functions on vectors; no libm. Errors are below 4 units in the last place unless said otherwise. */

/* 2^n for n in [-252, 254], in two steps so that results may be subnormal or infinite. */
KK_INLINE vf kk_scale2(vf v, vi n)
{
    vi half = n >> 1;
    return v * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
}

KK_INLINE vf kk_exp(vf x)
{
    vf bounded = vmin(vdup(89.0f), vmax(vdup(-104.0f), x));
    vf shifted = bounded * 1.44269504f + 12582912.0f;
    vi n = (vi)shifted - 0x4b400000;
    vf whole = shifted - 12582912.0f;
    vf r = bounded - whole * 0.693145752f - whole * 1.42860677e-6f;
    vf p = 1.98412698e-4f * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    return kk_scale2(p, n);
}

KK_INLINE vf kk_log(vf x)
{
    vi tiny = x < 1.17549435e-38f;
    vf y = vselect(tiny, x * 8388608.0f, x);
    vi bits = (vi)y - 0x3f3504f3;
    vf e = __builtin_convertvector((bits >> 23), vf) - vselect(tiny, vdup(23.0f), vdup(0.0f));
    vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3);
    vf s = (m - 1.0f) / (m + 1.0f), q = s * s;
    vf p = ((((q * (1.0f / 11) + 1.0f / 9) * q + 1.0f / 7) * q + 0.2f) * q + 1.0f / 3) * q;
    vf value = e * 0.693359375f + (2.0f * s * p - e * 2.12194440e-4f) + 2.0f * s;
    value = vselect(x == 0.0f, vdup(-__builtin_inff()), value);
    value = vselect((x >= 0.0f) & (x < __builtin_inff()), value, vselect(x > 0.0f, x, vdup(__builtin_nanf(""))));
    return value;
}

/* exp(x) - 1 without cancellation near 0. */
KK_INLINE vf kk_expm1(vf x)
{
    vf small = x * (1.0f + x * (0.5f + x * (1.66666667e-1f + x * (4.16666667e-2f + x * 8.33333333e-3f))));
    return vselect(vabs(x) < 0.12f, small, kk_exp(x) - 1.0f);
}

KK_INLINE vf kk_sigmoid(vf x) { return 1.0f / (1.0f + kk_exp(-x)); }

/* x P(x^2) / Q(x^2), fitted to the smallest relative error up to 9.02, where tanh is 1 in float; below 6 units in the
 * last place.
 */
KK_INLINE vf kk_tanh(vf x)
{
    vf t = vclamp(x, -9.02f, 9.02f), q = t * t;
    vf above = 1.0f + q * (0.133797232f + q * (3.49404063e-3f + q * (2.05835745e-5f + q * 1.33193189e-8f)));
    vf below = 1.0f + q * (0.467130385f + q * (0.0258710968f + q * (3.28310248e-4f + q * 7.76206983e-7f)));
    return vclamp(t * above / below, -1.0f, 1.0f);
}

/* Absolute error below 3e-7. Source: Abramowitz and Stegun, 7.1.26, and the Taylor series near 0. */
KK_INLINE vf kk_erf(vf x)
{
    vf a = vabs(x), q = x * x, t = 1.0f / (1.0f + 0.3275911f * a);
    vf p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    vf far = 1.0f - p * kk_exp(-q);
    vf near = x * (1.12837917f + q * (-0.376126389f + q * (0.112837917f + q * (-0.0268661706f + q * 0.00522397762f))));
    return vselect(a < 0.5f, near, vselect(x < 0.0f, -far, far));
}

KK_INLINE vf kk_softplus(vf x) { return vmax(vdup(0.0f), x) + kk_log(1.0f + kk_exp(-vabs(x))); }

/* To the nearest whole number, halves to even. */
KK_INLINE vf kk_round(vf x)
{
    vf magic = vselect(x < 0.0f, vdup(-8388608.0f), vdup(8388608.0f));
    vf rounded = (x + magic) - magic;
    rounded = (vf)((vi)rounded | ((vi)x & (vi)vdup(-0.0f)));
    return vselect(vabs(x) < 8388608.0f, rounded, x);
}
KK_INLINE vf kk_floor(vf x)
{
    vf r = kk_round(x);
    return vselect(r > x, r - 1.0f, r);
}
KK_INLINE vf kk_ceil(vf x) { return -kk_floor(-x); }

KK_INLINE vf kk_sqrt(vf x)
{
#if defined(KK_AVX512)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(KK_AVX2)
    return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(KK_SSE)
    return (vf)_mm_sqrt_ps((__m128)x);
#elif defined(KK_NEON)
    return (vf)vsqrtq_f32((float32x4_t)x);
#else
    vf y = (vf)(((vi)x >> 1) + 0x1fbb4f2e);
    for (int i = 0; i < 4; i++)
        y = 0.5f * (y + x / y);
    y = vselect((x == 0.0f) | (x == __builtin_inff()), x, y);
    return vselect(x >= 0.0f, y, vdup(__builtin_nanf("")));
#endif
}

/* x^y for y not constant; relative error below 2e-5 for |y log x| < 80, and the sign rules of whole exponents. */
KK_INLINE vf kk_pow(vf x, vf y)
{
    vf size = kk_exp(y * kk_log(vabs(x)));
    vf half = y * 0.5f;
    vi whole = kk_round(y) == y, odd = whole & (kk_round(half) != half);
    vf value = vselect(x < 0.0f, vselect(whole, vselect(odd, -size, size), vdup(__builtin_nanf(""))), size);
    return vselect((y == 0.0f) | (x == 1.0f), vdup(1.0f), value);
}
