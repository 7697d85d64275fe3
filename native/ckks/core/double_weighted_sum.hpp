// Purpose: weighted_sum of kernels.hpp over a vector type V: x = xh 2^25 + xl, weights whole or wh 2^24 + wl; signed 32-bit
//   products summed in 64-bit lanes.
#pragma once

#include "double_field.hpp"

namespace kakuri::ckks::lanes {

template <class V>
struct WeightedSum {
    using Doubles = typename V::Doubles;
    using Words = typename V::Words;
    static constexpr std::size_t kLanes = V::kLanes;

    static constexpr int kInputShift = 25;
    static constexpr int kWeightShift = 24;
    static constexpr int kNarrowBits = 31;      // |weight| below 2^31 is one signed 32-bit factor
    static constexpr std::size_t kChunk = 512;  // inputs per exact sum
    static constexpr std::size_t kOutputsAtOnce = 4;
    static constexpr std::size_t kTileWords =
        16;                            // coefficients of every input packed side by side: a chunk's tile stays in cache
    static constexpr std::size_t kTiles = 4;  // tiles packed at once, so that an input is read in runs of eight lines

    // Coefficients [start, start + words) of every input into tiles [tile][input][kTileWords], each lane as two 32-bit
    // halves xl (low) and xh, both below 2^25.
    static void pack_tiles(u64* tiles, const u64* const* inputs, std::size_t count, std::size_t start, std::size_t words) {
        const Words mask = V::broadcast_word((u64{1} << kInputShift) - 1);
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t j = 0; j < words; j += kLanes) {
                const Words x = V::load_words(inputs[i] + start + j);
                const Words high = V::shift_left(V::shift_right(x, kInputShift), 32);
                V::store_words(tiles + (j / kTileWords * count + i) * kTileWords + j % kTileWords,
                            (x & mask) | high);
            }
        }
    }

    // 2^shift and 2^(shift + 32) modulo q, to bring a signed 64-bit sum of weight 2^shift to a residue.
    class SumScale {
    public:
        SumScale(const Modulus& m, u64 shift)
            : low_(Multiplier<V>::of(m.power(2, shift), m.q)), high_(Multiplier<V>::of(m.power(2, shift + 32), m.q)) {}
        Doubles residue(const Field<V>& f, Words sum) const {
            const Words low = sum & V::broadcast_word(0xffffffff);
            // The signed upper half, offset by 2^31 to be a non-negative word.
            const Words high =
                V::shift_right(sum ^ V::broadcast_word(u64{1} << 63), 32);
            return f.multiply(V::from_words(low), low_) +
                   f.multiply(V::from_words(high) - V::broadcast(0x1p31), high_);
        }

    private:
        Multiplier<V> low_;
        Multiplier<V> high_;
    };

    struct SumField {
        Field<V> f;
        SumScale scale[2][2];  // [part of the weight][half of the input]
        explicit SumField(const Modulus& m)
            : f(m.q),
              scale{{SumScale(m, 0), SumScale(m, kInputShift)},
                    {SumScale(m, kWeightShift), SumScale(m, kInputShift + kWeightShift)}} {}
    };

    // One tile of one group of outputs. factors: [input][part][output].
    template <std::size_t kOutputs, std::size_t kParts>
    static void sum_tile(const SumField& field, u64* const* outputs, const u64* tile, const i64* factors, std::size_t count,
                  std::size_t start, bool accumulate) {
        for (std::size_t j = 0; j < kTileWords; j += kLanes) {
            Words low[kParts][kOutputs];
            Words high[kParts][kOutputs];
            for (std::size_t p = 0; p < kParts; ++p)
                for (std::size_t o = 0; o < kOutputs; ++o) low[p][o] = high[p][o] = V::broadcast_word(0);
            const i64* factor = factors;
            for (std::size_t i = 0; i < count; ++i, factor += kParts * kOutputs) {
                const Words xl = V::load_words(tile + i * kTileWords + j);
                const Words xh = V::shift_right(xl, 32);
                for (std::size_t p = 0; p < kParts; ++p) {
                    for (std::size_t o = 0; o < kOutputs; ++o) {
                        const Words w = V::broadcast_word(static_cast<u64>(factor[p * kOutputs + o]));
                        low[p][o] = low[p][o] + V::multiply_halves(xl, w);
                        high[p][o] = high[p][o] + V::multiply_halves(xh, w);
                    }
                }
            }
            for (std::size_t o = 0; o < kOutputs; ++o) {
                u64* out = outputs[o] + start + j;
                Doubles sum = accumulate ? residues<V>(out) : V::broadcast(0);
                for (std::size_t p = 0; p < kParts; ++p) {
                    const Doubles parts = field.scale[p][0].residue(field.f, low[p][o]) +
                                          field.scale[p][1].residue(field.f, high[p][o]);
                    sum = sum + parts;
                }
                V::store_words(out, field.f.canonical(sum));
            }
        }
    }

    // Outputs in groups: how many the group that starts at output o holds.
    static std::size_t group_size(std::size_t o, std::size_t output_count, std::size_t at_once) {
        return o + at_once <= output_count ? at_once : 1;
    }

    // The weights of inputs [first, first + count) in the order of use: [group][input][part][output], the parts being w
    // itself, or wl in [-2^23, 2^23) and wh.
    template <std::size_t kParts>
    static std::vector<i64> arranged_factors(const i64* weights, std::size_t output_count, std::size_t row, std::size_t first,
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
    static void weighted_chunk(const SumField& field, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
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

    static void run(const Modulus& m, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
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
};

}  // namespace kakuri::ckks::lanes
