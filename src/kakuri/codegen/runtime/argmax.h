/* Where the largest of n bytes is, the first of equals. */
KK_INLINE int kk_largest_byte(const uint8_t *p, int n)
{
    int where = 0;
#if defined(KK_AVX512) || defined(KK_AVX2)
    if (n >= 16) {
        __m128i most = _mm_loadu_si128((const __m128i *)p);
        for (int i = 16; i < n; i += 16)
            most = _mm_max_epu8(most, _mm_loadu_si128((const __m128i *)(p + (i + 16 <= n ? i : n - 16))));
        __m128i least = _mm_xor_si128(most, _mm_set1_epi8(-1)); /* the complements, of which 16-bit minima are found */
        least = _mm_minpos_epu16(_mm_min_epu8(least, _mm_srli_epi16(least, 8)));
        const __m128i wanted = _mm_set1_epi8((char)~_mm_cvtsi128_si32(least));
        for (int i = 0;; i += 16) {
            const int at = i + 16 <= n ? i : n - 16;
            const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(wanted, _mm_loadu_si128((const __m128i *)(p + at))));
            if (found)
                return at + __builtin_ctz((unsigned)found);
        }
    }
#endif
    for (int i = 1; i < n; i++)
        where = p[i] > p[where] ? i : where;
    return where;
}
