/* From exact 32-bit sums to the 8-bit levels of a quantised tensor, rounding as TFLite's reference kernels do.
 *
 * A column's table entries are its bias, and its multiplier as significand / 2^31 * 2^shift. Levels are unsigned here.
 */
typedef struct {
    int32_t mode, point, low, high; /* KK_LEVELS_...; zero point and clamp of the result */
    int32_t columns;                /* entries from one row of the table to the next */
} kk_levels;

/* General: any shift, lane by lane. Positive: shifts below 0, and what is negative is clamped away. Signed: shifts
 * below 0. Double: the multiplier is a double, the product is rounded once. */
enum { KK_LEVELS_GENERAL, KK_LEVELS_POSITIVE, KK_LEVELS_SIGNED, KK_LEVELS_DOUBLE };

typedef int32_t vi_at __attribute__((vector_size(KK_VL * 4), aligned(4), may_alias));
typedef uint8_t vb __attribute__((vector_size(KK_VL)));

KK_INLINE vi vild(const void *p) { return *(const vi_at *)p; }
KK_INLINE vi vidup(int32_t x) { return x - (vi){0}; }
KK_INLINE vi viselect(vi mask, vi yes, vi no) { return (mask & yes) | (~mask & no); }
KK_INLINE vi viclamp(vi v, int32_t low, int32_t high)
{
#if defined(KK_AVX512)
    return (vi)_mm512_min_epi32(_mm512_set1_epi32(high), _mm512_max_epi32(_mm512_set1_epi32(low), (__m512i)v));
#elif defined(KK_AVX2)
    return (vi)_mm256_min_epi32(_mm256_set1_epi32(high), _mm256_max_epi32(_mm256_set1_epi32(low), (__m256i)v));
#elif defined(KK_NEON)
    return (vi)vminq_s32(vdupq_n_s32(high), vmaxq_s32(vdupq_n_s32(low), (int32x4_t)v));
#else
    v = viselect(v < low, vidup(low), v);
    return viselect(v > high, vidup(high), v);
#endif
}

/* n <= KK_VL bytes as lanes. */
KK_INLINE vi kk_bytes(const uint8_t *p, int n)
{
#if defined(KK_AVX512)
    const __mmask16 some = (__mmask16)((1u << n) - 1);
    return (vi)_mm512_cvtepu8_epi32(n == KK_VL ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(some, p));
#elif defined(KK_AVX2)
    if (n == KK_VL)
        return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#endif
    vb bytes = {0};
    if (n == KK_VL)
        memcpy(&bytes, p, KK_VL);
    else
        for (int i = 0; i < n; i++)
            bytes[i] = p[i];
    return __builtin_convertvector(bytes, vi);
}
/* The lanes, each in [0, 255], as n <= KK_VL bytes. */
KK_INLINE void kk_put_bytes(uint8_t *p, vi v, int n)
{
#if defined(KK_AVX512)
    __m128i bytes = _mm512_cvtepi32_epi8((__m512i)v);
    if (n == KK_VL)
        _mm_storeu_si128((__m128i *)p, bytes);
    else
        _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), bytes);
#else
    vb bytes = __builtin_convertvector(v, vb);
    if (n == KK_VL)
        memcpy(p, &bytes, KK_VL);
    else
        for (int i = 0; i < n; i++)
            p[i] = bytes[i];
#endif
}

KK_INLINE int32_t kk_high_multiply(int32_t a, int32_t b)
{
    return a == INT32_MIN && b == INT32_MIN ? INT32_MAX : (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}
KK_INLINE int32_t kk_divide_by_power(int32_t x, int exponent)
{
    int32_t mask = (int32_t)(((int64_t)1 << exponent) - 1), threshold = (mask >> 1) + (x < 0);
    return (x >> exponent) + ((x & mask) > threshold);
}
KK_INLINE int32_t kk_multiply(int32_t x, int32_t significand, int32_t shift)
{
    int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    return kk_divide_by_power(kk_high_multiply((int32_t)((uint32_t)x << left), significand), right);
}
/* To nearest, halves away from zero. */
KK_INLINE int32_t kk_away(double x)
{
    double whole = (double)(int32_t)x, rest = x - whole;
    return (int32_t)whole + (rest >= 0.5) - (rest <= -0.5);
}
/* A column's sum in units of the output, as its table entries say; a double's halves lie where the others have
 * significand and shift. */
KK_INLINE int32_t kk_scaled(const kk_levels *q, const int32_t *table, int32_t x)
{
    int32_t low = table[q->columns], high = table[2 * q->columns];
    if (q->mode != KK_LEVELS_DOUBLE)
        return kk_multiply(x, low, high);
    uint64_t bits = (uint32_t)low | (uint64_t)(uint32_t)high << 32;
    double real;
    memcpy(&real, &bits, sizeof real);
    return kk_away(x * real);
}
KK_INLINE int32_t kk_bounded(const kk_levels *q, int64_t v)
{
    v += q->point;
    return v < q->low ? q->low : v > q->high ? q->high : (int32_t)v;
}

/* What a vector of columns needs for every sum, made once for many. With rounding once to nearest, halves up, and the
 * zero point added in: (x s + 2^30 + 2^(30 + r) + point 2^(31 + r)) / 2^(31 + r), for even and odd lanes apart.
 * Halves of negative values go down: they are 2^31 lower before. */
#if defined(KK_AVX512)
typedef struct {
    __m512i even, odd, even_start, odd_start, even_shift, odd_shift;
} kk_multipliers;
KK_INLINE __m512i kk_start(__m512i r, int32_t point)
{
    const __m512i one = _mm512_set1_epi64(1), half = _mm512_sllv_epi64(_mm512_set1_epi64(1 << 30), r);
    __m512i up = _mm512_sllv_epi64(_mm512_set1_epi64(point), _mm512_add_epi64(r, _mm512_set1_epi64(31)));
    return _mm512_add_epi64(_mm512_add_epi64(_mm512_slli_epi64(one, 30), half), up);
}
KK_INLINE kk_multipliers kk_multipliers_at(const kk_levels *q, const int32_t *table)
{
    __m512i s = (__m512i)vild(table + q->columns), r = (__m512i)-vild(table + 2 * q->columns);
    __m512i r0 = _mm512_and_si512(r, _mm512_set1_epi64(0xffffffff)), r1 = _mm512_srli_epi64(r, 32);
    return (kk_multipliers){s,
                            _mm512_srli_epi64(s, 32),
                            kk_start(r0, q->point),
                            kk_start(r1, q->point),
                            _mm512_add_epi64(r0, _mm512_set1_epi64(31)),
                            _mm512_sub_epi32(r, _mm512_set1_epi32(1))};
}
KK_INLINE vi kk_level(const kk_multipliers *m, vi sum, const int has_sign)
{
    __m512i x = (__m512i)sum, even = _mm512_mul_epi32(x, m->even);
    __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), m->odd);
    if (has_sign) {
        const __m512i step = _mm512_set1_epi64(1ll << 31);
        even = _mm512_mask_sub_epi64(even, _mm512_movepi64_mask(even), even, step);
        odd = _mm512_mask_sub_epi64(odd, _mm512_movepi64_mask(odd), odd, step);
    }
    even = _mm512_srav_epi64(_mm512_add_epi64(even, m->even_start), m->even_shift);
    odd = _mm512_add_epi64(odd, m->odd_start);
    return (vi)_mm512_mask_srav_epi32(even, 0xaaaa, odd, m->odd_shift);
}
#elif defined(KK_AVX2)
/* Shifts of 64 bits are logical here: 2^62 is added before, and what it becomes is taken off after. */
typedef struct {
    __m256i even, odd, even_start, odd_start, even_shift, odd_shift, less;
} kk_multipliers;
KK_INLINE __m256i kk_start(__m256i r, int32_t point)
{
    const __m256i half = _mm256_sllv_epi64(_mm256_set1_epi64x(1 << 30), r);
    __m256i up = _mm256_sllv_epi64(_mm256_set1_epi64x(point), _mm256_add_epi64(r, _mm256_set1_epi64x(31)));
    return _mm256_add_epi64(_mm256_add_epi64(_mm256_set1_epi64x((1ll << 30) + (1ll << 62)), half), up);
}
KK_INLINE kk_multipliers kk_multipliers_at(const kk_levels *q, const int32_t *table)
{
    __m256i s = (__m256i)vild(table + q->columns), r = (__m256i)-vild(table + 2 * q->columns);
    __m256i r0 = _mm256_and_si256(r, _mm256_set1_epi64x(0xffffffff)), r1 = _mm256_srli_epi64(r, 32);
    return (kk_multipliers){s,
                            _mm256_srli_epi64(s, 32),
                            kk_start(r0, q->point),
                            kk_start(r1, q->point),
                            _mm256_add_epi64(r0, _mm256_set1_epi64x(31)),
                            _mm256_sub_epi64(r1, _mm256_set1_epi64x(1)),
                            _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(_mm256_set1_epi32(31), r))};
}
KK_INLINE vi kk_level(const kk_multipliers *m, vi sum, const int has_sign)
{
    __m256i x = (__m256i)sum, even = _mm256_mul_epi32(x, m->even);
    __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), m->odd);
    if (has_sign) {
        const __m256i lowest = _mm256_set1_epi32(INT32_MIN);
        even = _mm256_sub_epi64(even, _mm256_mul_epi32(_mm256_srai_epi32(x, 31), lowest));
        odd = _mm256_sub_epi64(odd, _mm256_mul_epi32(_mm256_srli_epi64(_mm256_srai_epi32(x, 31), 32), lowest));
    }
    even = _mm256_srlv_epi64(_mm256_add_epi64(even, m->even_start), m->even_shift);
    odd = _mm256_srlv_epi64(_mm256_add_epi64(odd, m->odd_start), m->odd_shift);
    return (vi)_mm256_sub_epi32(_mm256_blend_epi32(even, odd, 0xaa), m->less);
}
#elif defined(KK_NEON)
typedef struct {
    int32x4_t significand, shift;
    int32_t point;
} kk_multipliers;
KK_INLINE kk_multipliers kk_multipliers_at(const kk_levels *q, const int32_t *table)
{
    return (kk_multipliers){(int32x4_t)vild(table + q->columns), (int32x4_t)vild(table + 2 * q->columns), q->point};
}
KK_INLINE vi kk_level(const kk_multipliers *m, vi sum, const int has_sign)
{
    int32x4_t x = vqrdmulhq_s32((int32x4_t)sum, m->significand);
    if (has_sign)
        x = vqaddq_s32(x, vshrq_n_s32(x, 31));
    return (vi)vrshlq_s32(x, m->shift) + m->point;
}
#else
typedef struct {
    vi significand, shift;
    int32_t point;
} kk_multipliers;
KK_INLINE kk_multipliers kk_multipliers_at(const kk_levels *q, const int32_t *table)
{
    return (kk_multipliers){vild(table + q->columns), vild(table + 2 * q->columns), q->point};
}
KK_INLINE vi kk_level(const kk_multipliers *m, vi sum, const int has_sign)
{
    vi found;
    (void)has_sign;
    for (int i = 0; i < KK_VL; i++)
        found[i] = kk_multiply(sum[i], m->significand[i], m->shift[i]) + m->point;
    return found;
}
#endif

/* The multipliers of nv vectors of columns. The general modes have none. */
typedef struct {
    kk_multipliers of[4];
} kk_multiplier_set;
KK_INLINE void kk_prepare_levels(const kk_levels *q, const int32_t *table, int nv, kk_multiplier_set *set)
{
    if (q->mode == KK_LEVELS_POSITIVE || q->mode == KK_LEVELS_SIGNED)
        for (int j = 0; j < nv; j++)
            set->of[j] = kk_multipliers_at(q, table + j * KK_VL);
}

#if defined(KK_AVX512)
/* As below for 1, 2 or 4 vectors of sums four apart: of as many pixels as make 64 bytes. */
KK_INLINE void kk_levels_packed(const kk_levels *q, const kk_multiplier_set *set, const vi *sums, int rows, const int nv,
                                uint8_t *c, ptrdiff_t c_px, int columns, const int has_sign)
{
    enum { LANES = 4 };
    const int pixels = LANES / nv;
    const __mmask64 some = ~(__mmask64)0 >> (64 - columns);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low = _mm512_set1_epi8((char)q->low), high = _mm512_set1_epi8((char)q->high);
    for (int i = 0; i < rows; i += pixels) {
        __m512i level[LANES];
#pragma GCC unroll 4
        for (int v = 0; v < LANES; v++) {
            const int row = i + v / nv < rows ? i + v / nv : rows - 1;
            level[v] = (__m512i)kk_level(&set->of[v % nv], sums[4 * row + v % nv], has_sign);
        }
        __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(level[0], level[1]),
                                            _mm512_packs_epi32(level[2], level[3]));
        bytes = _mm512_min_epu8(high, _mm512_max_epu8(low, _mm512_permutexvar_epi32(order, bytes)));
        uint8_t *to = c + i * c_px;
        const int left = rows - i;
        if (nv == 4) {
            _mm512_mask_storeu_epi8(to, some, bytes);
        } else if (nv == 2) {
            _mm256_mask_storeu_epi8(to, (__mmask32)some, _mm512_castsi512_si256(bytes));
            if (left > 1)
                _mm256_mask_storeu_epi8(to + c_px, (__mmask32)some, _mm512_extracti64x4_epi64(bytes, 1));
        } else {
            _mm_mask_storeu_epi8(to, (__mmask16)some, _mm512_castsi512_si128(bytes));
            if (left > 1)
                _mm_mask_storeu_epi8(to + c_px, (__mmask16)some, _mm512_extracti64x2_epi64(bytes, 1));
            if (left > 2)
                _mm_mask_storeu_epi8(to + 2 * c_px, (__mmask16)some, _mm512_extracti64x2_epi64(bytes, 2));
            if (left > 3)
                _mm_mask_storeu_epi8(to + 3 * c_px, (__mmask16)some, _mm512_extracti64x2_epi64(bytes, 3));
        }
    }
}
#endif

/* sums[row][pitch]: nv vectors of columns for each of `rows` pixels. */
KK_INLINE void kk_levels_vector(const kk_levels *q, const kk_multiplier_set *set, const vi *sums, int pitch, int rows,
                                int nv, uint8_t *c, ptrdiff_t c_px, int columns, const int has_sign)
{
#if defined(KK_AVX512)
    if (pitch == 4) {
        if (nv == 1)
            kk_levels_packed(q, set, sums, rows, 1, c, c_px, columns, has_sign);
        else if (nv == 2)
            kk_levels_packed(q, set, sums, rows, 2, c, c_px, columns, has_sign);
        else
            kk_levels_packed(q, set, sums, rows, 4, c, c_px, columns, has_sign);
        return;
    }
#endif
    for (int j = 0; j < nv; j++) {
        const kk_multipliers m = set->of[j];
        int n = columns - j * KK_VL < KK_VL ? columns - j * KK_VL : KK_VL;
        for (int i = 0; i < rows; i++) {
            vi level = kk_level(&m, sums[pitch * i + j], has_sign);
            kk_put_bytes(c + i * c_px + j * KK_VL, viclamp(level, q->low, q->high), n);
        }
    }
}
KK_INLINE void kk_levels_write(const kk_levels *q, const kk_multiplier_set *set, const int32_t *table, const vi *sums,
                               int pitch, int rows, int nv, uint8_t *c, ptrdiff_t c_px, int columns)
{
    if (q->mode == KK_LEVELS_POSITIVE)
        kk_levels_vector(q, set, sums, pitch, rows, nv, c, c_px, columns, 0);
    else if (q->mode == KK_LEVELS_SIGNED)
        kk_levels_vector(q, set, sums, pitch, rows, nv, c, c_px, columns, 1);
    else
        for (int i = 0; i < rows; i++)
            for (int n = 0; n < columns; n++) {
                int32_t x = sums[pitch * i + n / KK_VL][n % KK_VL];
                c[i * c_px + n] = (uint8_t)kk_bounded(q, kk_scaled(q, table + n, x));
            }
}
KK_FUNCTION void kk_levels_put(const kk_levels *q, const kk_multiplier_set *set, const int32_t *table, const vi *sums,
                               int pitch, int rows, int nv, uint8_t *c, ptrdiff_t c_px, int columns)
{
    kk_levels_write(q, set, table, sums, pitch, rows, nv, c, c_px, columns);
}
