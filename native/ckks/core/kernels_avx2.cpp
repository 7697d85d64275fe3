// Purpose: the kernel table for AVX2 with FMA: doubles for products of residues, 32-bit integer products for sums
//   with integer weights.
// Guarantees: bit-identical to the scalar table; bounds are stated at each sum.
#include <algorithm>
#include <bit>
#include <vector>

#include "linear_scalar.hpp"
#include "ntt_avx2.hpp"

#include "avx2.hpp"

namespace kakuri::ckks {

namespace {

using namespace avx2;

Vector residues(const u64* p) { return from_words(load_words(p)); }

// Products of canonical residues are within 1/2 + 1/8; this many fit a double with a canonical residue to spare.
constexpr std::size_t kProductsPerReduction = 8;

void add(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
    const __m256i q = _mm256_set1_epi64x(static_cast<i64>(m.q));
    for (std::size_t j = 0; j < n; j += kLanes) {
        const __m256i sum = _mm256_add_epi64(load_words(a + j), load_words(b + j));
        const __m256i less = _mm256_sub_epi64(sum, q);
        store_words(r + j, _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(less), _mm256_castsi256_pd(sum),
                                                                _mm256_castsi256_pd(less))));
    }
}

void subtract(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
    const __m256i q = _mm256_set1_epi64x(static_cast<i64>(m.q));
    for (std::size_t j = 0; j < n; j += kLanes) {
        const __m256i difference = _mm256_sub_epi64(load_words(a + j), load_words(b + j));
        const __m256i more = _mm256_add_epi64(difference, q);
        store_words(r + j,
                    _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(difference), _mm256_castsi256_pd(more),
                                                         _mm256_castsi256_pd(difference))));
    }
}

void negate(const Modulus& m, u64* r, const u64* a, std::size_t n) {
    const __m256i q = _mm256_set1_epi64x(static_cast<i64>(m.q));
    for (std::size_t j = 0; j < n; j += kLanes) {
        const __m256i x = load_words(a + j);
        const __m256i zero = _mm256_cmpeq_epi64(x, _mm256_setzero_si256());
        store_words(r + j, _mm256_andnot_si256(zero, _mm256_sub_epi64(q, x)));
    }
}

void add_scalar(const Modulus& m, u64* r, const u64* a, u64 s, std::size_t n) {
    const __m256i q = _mm256_set1_epi64x(static_cast<i64>(m.q));
    const __m256i scalar = _mm256_set1_epi64x(static_cast<i64>(s));
    for (std::size_t j = 0; j < n; j += kLanes) {
        const __m256i sum = _mm256_add_epi64(load_words(a + j), scalar);
        const __m256i less = _mm256_sub_epi64(sum, q);
        store_words(r + j, _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(less), _mm256_castsi256_pd(sum),
                                                                _mm256_castsi256_pd(less))));
    }
}

void multiply(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
    const Field f(m.q);
    for (std::size_t j = 0; j < n; j += kLanes)
        store_words(r + j, f.canonical_small(f.multiply(residues(a + j), residues(b + j))));
}

void multiply_scalar(const Modulus& m, u64* r, const u64* a, Factor w, std::size_t n) {
    const Field f(m.q);
    const Multiplier factor = multiplier(w.w, m.q);
    for (std::size_t j = 0; j < n; j += kLanes)
        store_words(r + j, f.canonical_small(f.multiply(residues(a + j), factor)));
}

void subtract_multiply(const Modulus& m, u64* r, const u64* a, const u64* b, Factor w, std::size_t n) {
    const Field f(m.q);
    const Multiplier factor = multiplier(w.w, m.q);
    for (std::size_t j = 0; j < n; j += kLanes)
        store_words(r + j, f.canonical_small(f.multiply(_mm256_sub_pd(residues(a + j), residues(b + j)), factor)));
}

void tensor(const Modulus& m, u64* r0, u64* r1, u64* r2, const u64* a0, const u64* a1, const u64* b0, const u64* b1,
            std::size_t n) {
    const Field f(m.q);
    for (std::size_t j = 0; j < n; j += kLanes) {
        const Vector x0 = residues(a0 + j), x1 = residues(a1 + j), y0 = residues(b0 + j), y1 = residues(b1 + j);
        store_words(r0 + j, f.canonical_small(f.multiply(x0, y0)));
        store_words(r1 + j, f.canonical(_mm256_add_pd(f.multiply(x0, y1), f.multiply(x1, y0))));
        store_words(r2 + j, f.canonical_small(f.multiply(x1, y1)));
    }
}

// A rotation maps groups of four positions to groups of four; the order inside the group follows from its first entry c
// (automorphism.hpp): position i takes br((br(i) + br(c)) mod 4), br reversing two bits. As 32-bit lane numbers:
alignas(32) constexpr std::int32_t kGroupOrder[4][8] = {
    {0, 1, 2, 3, 4, 5, 6, 7},
    {2, 3, 0, 1, 6, 7, 4, 5},
    {4, 5, 6, 7, 2, 3, 0, 1},
    {6, 7, 4, 5, 0, 1, 2, 3},
};

__m256i permuted(const u64* a, std::uint32_t first) {
    const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kGroupOrder[first & 3]));
    return _mm256_permutevar8x32_epi32(load_words(a + (first & ~3u)), order);
}

void permute(u64* r, const u64* a, const std::uint32_t* permutation, std::size_t n) {
    for (std::size_t j = 0; j < n; j += kLanes) store_words(r + j, permuted(a, permutation[j]));
}

// Centred input: x, or x - p above (p - 1)/2.
struct CentredInput {
    const u64* words;
    Vector prime;
    Vector half;
    Vector at(std::size_t j) const {
        const Vector x = residues(words + j);
        return _mm256_sub_pd(x, _mm256_and_pd(prime, _mm256_cmp_pd(x, half, _CMP_GT_OQ)));
    }
};

CentredInput centred(const ConvertTerm& term) {
    return {term.input, broadcast(static_cast<double>(term.prime)),
            broadcast(static_cast<double>((term.prime - 1) / 2))};
}

// Inputs below 2^49 in size may exceed a smaller q by far, but the product with a balanced factor stays below 2^99 and
// its quotient below 2^50, so the remainder is right; products are within 1/2 + 2^49 2^-52 / q ... within 1 for every
// q.
void convert(const Modulus& m, u64* r, const ConvertTerm* terms, std::size_t count, u64, std::size_t n) {
    const Field f(m.q);
    if (count == 1 && terms[0].weight.w == 1) {
        const CentredInput input = centred(terms[0]);
        for (std::size_t j = 0; j < n; j += kLanes) store_words(r + j, f.canonical(f.reduce(input.at(j))));
        return;
    }
    for (std::size_t j = 0; j < n; j += kLanes) {
        Vector sum = _mm256_setzero_pd();
        for (std::size_t i = 0; i < count; ++i) {
            sum = _mm256_add_pd(sum, f.multiply(f.reduce(centred(terms[i]).at(j)), multiplier(terms[i].weight.w, m.q)));
            if (i % kProductsPerReduction == kProductsPerReduction - 1) sum = f.reduce(sum);
        }
        store_words(r + j, f.canonical(sum));
    }
}

template <bool kPermuted>
void inner_product_with(const Modulus& m, u64* r0, u64* r1, const InnerTerm* terms, std::size_t count,
                        const std::uint32_t* permutation, std::size_t n) {
    const Field f(m.q);
    for (std::size_t j = 0; j < n; j += kLanes) {
        Vector s0 = _mm256_setzero_pd();
        Vector s1 = _mm256_setzero_pd();
        for (std::size_t d = 0; d < count; ++d) {
            const Vector x =
                kPermuted ? from_words(permuted(terms[d].digit, permutation[j])) : residues(terms[d].digit + j);
            s0 = _mm256_add_pd(s0, f.multiply(x, residues(terms[d].key0 + j)));
            s1 = _mm256_add_pd(s1, f.multiply(x, residues(terms[d].key1 + j)));
            if (d % kProductsPerReduction == kProductsPerReduction - 1) {
                s0 = f.reduce(s0);
                s1 = f.reduce(s1);
            }
        }
        store_words(r0 + j, f.canonical(s0));
        store_words(r1 + j, f.canonical(s1));
    }
}

void inner_product(const Modulus& m, u64* r0, u64* r1, const InnerTerm* terms, std::size_t count,
                   const std::uint32_t* permutation, std::size_t n) {
    if (permutation != nullptr)
        inner_product_with<true>(m, r0, r1, terms, count, permutation, n);
    else
        inner_product_with<false>(m, r0, r1, terms, count, nullptr, n);
}

void dot(const Modulus& m, u64* r, const ProductTerm* terms, std::size_t count, std::size_t n) {
    // Sixteen coefficients per pass over the terms: two cache lines of each operand, four sums in registers.
    constexpr std::size_t kTile = 4;
    const Field f(m.q);
    for (std::size_t j = 0; j < n; j += kTile * kLanes) {
        Vector sums[kTile] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t t = 0; t < kTile; ++t) {
                const std::size_t at = j + t * kLanes;
                sums[t] = _mm256_add_pd(sums[t], f.multiply(residues(terms[i].a + at), residues(terms[i].b + at)));
            }
            if (i % kProductsPerReduction == kProductsPerReduction - 1)
                for (Vector& sum : sums) sum = f.reduce(sum);
        }
        for (std::size_t t = 0; t < kTile; ++t) store_words(r + j + t * kLanes, f.canonical(sums[t]));
    }
}

// ---- weighted_sum: x = xh 2^25 + xl, weights whole or wh 2^24 + wl; signed 32-bit products summed in 64-bit lanes
// ----

constexpr int kInputShift = 25;
constexpr int kWeightShift = 24;
constexpr int kNarrowBits = 31;      // |weight| below 2^31 is one signed 32-bit factor
constexpr std::size_t kChunk = 512;  // inputs per exact sum
constexpr std::size_t kOutputsAtOnce = 4;
constexpr std::size_t kTileWords =
    16;                            // coefficients of every input packed side by side: a chunk's tile stays in cache
constexpr std::size_t kTiles = 4;  // tiles packed at once, so that an input is read in runs of eight lines

// Coefficients [start, start + words) of every input into tiles [tile][input][kTileWords], each lane as two 32-bit
// halves xl (low) and xh, both below 2^25.
void pack_tiles(u64* tiles, const u64* const* inputs, std::size_t count, std::size_t start, std::size_t words) {
    const __m256i mask = _mm256_set1_epi64x((1 << kInputShift) - 1);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < words; j += kLanes) {
            const __m256i x = load_words(inputs[i] + start + j);
            const __m256i high = _mm256_slli_epi64(_mm256_srli_epi64(x, kInputShift), 32);
            store_words(tiles + (j / kTileWords * count + i) * kTileWords + j % kTileWords,
                        _mm256_or_si256(_mm256_and_si256(x, mask), high));
        }
    }
}

// 2^shift and 2^(shift + 32) modulo q, to bring a signed 64-bit sum of weight 2^shift to a residue.
class SumScale {
public:
    SumScale(const Modulus& m, u64 shift)
        : low_(multiplier(m.power(2, shift), m.q)), high_(multiplier(m.power(2, shift + 32), m.q)) {}
    Vector residue(const Field& f, __m256i sum) const {
        const __m256i low = _mm256_and_si256(sum, _mm256_set1_epi64x(0xffffffff));
        // The signed upper half, offset by 2^31 to be a non-negative word.
        const __m256i high =
            _mm256_srli_epi64(_mm256_xor_si256(sum, _mm256_set1_epi64x(static_cast<i64>(u64{1} << 63))), 32);
        return _mm256_add_pd(f.multiply(from_words(low), low_),
                             f.multiply(_mm256_sub_pd(from_words(high), broadcast(0x1p31)), high_));
    }

private:
    Multiplier low_;
    Multiplier high_;
};

struct SumField {
    Field f;
    SumScale scale[2][2];  // [part of the weight][half of the input]
    explicit SumField(const Modulus& m)
        : f(m.q),
          scale{{SumScale(m, 0), SumScale(m, kInputShift)},
                {SumScale(m, kWeightShift), SumScale(m, kInputShift + kWeightShift)}} {}
};

// One tile of one group of outputs. factors: [input][part][output].
template <std::size_t kOutputs, std::size_t kParts>
void sum_tile(const SumField& field, u64* const* outputs, const u64* tile, const i64* factors, std::size_t count,
              std::size_t start, bool accumulate) {
    for (std::size_t j = 0; j < kTileWords; j += kLanes) {
        __m256i low[kParts][kOutputs];
        __m256i high[kParts][kOutputs];
        for (std::size_t p = 0; p < kParts; ++p)
            for (std::size_t o = 0; o < kOutputs; ++o) low[p][o] = high[p][o] = _mm256_setzero_si256();
        const i64* factor = factors;
        for (std::size_t i = 0; i < count; ++i, factor += kParts * kOutputs) {
            const __m256i xl = load_words(tile + i * kTileWords + j);
            const __m256i xh = _mm256_srli_epi64(xl, 32);
            for (std::size_t p = 0; p < kParts; ++p) {
                for (std::size_t o = 0; o < kOutputs; ++o) {
                    const __m256i w = _mm256_set1_epi64x(factor[p * kOutputs + o]);
                    low[p][o] = _mm256_add_epi64(low[p][o], _mm256_mul_epi32(xl, w));
                    high[p][o] = _mm256_add_epi64(high[p][o], _mm256_mul_epi32(xh, w));
                }
            }
        }
        for (std::size_t o = 0; o < kOutputs; ++o) {
            u64* out = outputs[o] + start + j;
            Vector sum = accumulate ? residues(out) : _mm256_setzero_pd();
            for (std::size_t p = 0; p < kParts; ++p) {
                const Vector parts = _mm256_add_pd(field.scale[p][0].residue(field.f, low[p][o]),
                                                   field.scale[p][1].residue(field.f, high[p][o]));
                sum = _mm256_add_pd(sum, parts);
            }
            store_words(out, field.f.canonical(sum));
        }
    }
}

// Outputs in groups: how many the group that starts at output o holds.
std::size_t group_size(std::size_t o, std::size_t output_count, std::size_t at_once) {
    return o + at_once <= output_count ? at_once : 1;
}

// The weights of inputs [first, first + count) in the order of use: [group][input][part][output], the parts being w
// itself, or wl in [-2^23, 2^23) and wh.
template <std::size_t kParts>
std::vector<i64> arranged_factors(const i64* weights, std::size_t output_count, std::size_t row, std::size_t first,
                                  std::size_t count, std::size_t at_once) {
    std::vector<i64> factors(output_count * count * kParts);
    for (std::size_t o = 0; o < output_count; o += group_size(o, output_count, at_once)) {
        const std::size_t size = group_size(o, output_count, at_once);
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t g = 0; g < size; ++g) {
                const i64 w = weights[(o + g) * row + first + i];
                const i64 high = (w + (i64{1} << (kWeightShift - 1))) >> kWeightShift;
                i64* at = &factors[(o * count + i * size) * kParts + g];
                at[0] = kParts == 1 ? w : w - high * (i64{1} << kWeightShift);
                if (kParts == 2) at[size] = high;
            }
        }
    }
    return factors;
}

// Sums over one chunk of inputs. Bounds: a product is below 2^(25 + bits) when narrow and below 2^51 when wide; at most
// 2^9 of them are added, which the caller has checked to stay below 2^62.
template <std::size_t kParts>
void weighted_chunk(const SumField& field, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
                    const i64* weights, std::size_t row, std::size_t first, std::size_t count, std::size_t n) {
    constexpr std::size_t kAtOnce =
        kParts == 1 ? kOutputsAtOnce : kOutputsAtOnce / 2;  // twelve sums would not fit the registers
    const std::vector<i64> factors = arranged_factors<kParts>(weights, output_count, row, first, count, kAtOnce);
    Buffer tiles(kTiles * count * kTileWords);
    for (std::size_t start = 0; start < n; start += kTiles * kTileWords) {
        const std::size_t words = std::min(kTiles * kTileWords, n - start);
        pack_tiles(tiles.data(), inputs + first, count, start, words);
        for (std::size_t t = 0; t < words / kTileWords; ++t) {
            const u64* tile = tiles.data() + t * count * kTileWords;
            for (std::size_t o = 0; o < output_count; o += group_size(o, output_count, kAtOnce)) {
                const i64* group = &factors[o * count * kParts];
                if (group_size(o, output_count, kAtOnce) == kAtOnce)
                    sum_tile<kAtOnce, kParts>(field, outputs + o, tile, group, count, start + t * kTileWords,
                                              first > 0);
                else
                    sum_tile<1, kParts>(field, outputs + o, tile, group, count, start + t * kTileWords, first > 0);
            }
        }
    }
}

void weighted_sum(const Modulus& m, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
                  const i64* weights, std::size_t count, std::size_t n) {
    const SumField field(m);
    u64 largest = 0;
    for (std::size_t i = 0; i < output_count * count; ++i)
        largest = std::max(largest, static_cast<u64>(weights[i] < 0 ? -weights[i] : weights[i]));
    const auto bits = static_cast<int>(std::bit_width(largest));
    const auto terms = static_cast<int>(std::bit_width(std::min(count, kChunk)));
    const bool narrow = bits <= kNarrowBits && bits + kInputShift + terms <= 62;
    for (std::size_t first = 0; first < count; first += kChunk) {
        const std::size_t size = std::min(kChunk, count - first);
        if (narrow)
            weighted_chunk<1>(field, outputs, output_count, inputs, weights, count, first, size, n);
        else
            weighted_chunk<2>(field, outputs, output_count, inputs, weights, count, first, size, n);
    }
}

}  // namespace

const Kernels* avx2_kernels() {
    static constexpr Kernels kTable = {
        "avx2",          avx2::forward,     avx2::inverse, add,     subtract, negate,        add_scalar, multiply,
        multiply_scalar, subtract_multiply, tensor,        permute, convert,  inner_product, dot,        weighted_sum,
        scalar::add_rotation, scalar::pack_rotation, scalar::diagonal_sums,
    };
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kTable : nullptr;
}

}  // namespace kakuri::ckks
