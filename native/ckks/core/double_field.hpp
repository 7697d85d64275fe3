// Purpose: modular arithmetic on vectors of doubles, for q < 2^50, over a vector type V (simd256.hpp, simd512.hpp).
// Guarantees: residues are integers held exactly, |x| <= 2^53; products are exact modulo q. "x is within B" means |x|
//   <= B q.
// Requires: rounding to nearest and no contraction of separate operations (-ffp-contract=off).
// Source: the error-free product h + l = a b by one FMA (Dekker 1971; Ogita, Rump and Oishi 2005) with the quotient
//   rounded from a b/q, as in FLINT's fft_small (Schultz, 2022). Adding 1.5 2^52 within an FMA rounds the quotient to an
//   integer; that needs a quotient below 2^51 in size, hence multiply() of x within 4 by a factor within 1/2. Its result is
//   within 1/2 + B/16 (B/8 where w/q is itself a product with 1/q). LazySum: Emmart, Zheng and Weems, "Faster modular
//   exponentiation using double precision floating point arithmetic on the GPU", 2018.
#pragma once

#include "kernels.hpp"

namespace kakuri::ckks::lanes {

static inline double balanced(u64 w, u64 q) { return w > q / 2 ? -static_cast<double>(q - w) : static_cast<double>(w); }

// A factor in balanced form with its quotient by q.
template <class V>
struct Multiplier {
    typename V::Doubles w;
    typename V::Doubles over_q;

    static Multiplier of(u64 w, u64 q) {
        const double b = balanced(w, q);
        return {V::broadcast(b), V::broadcast(b / static_cast<double>(q))};
    }
};

template <class V>
struct Field {
    using Doubles = typename V::Doubles;
    using Words = typename V::Words;

    Doubles q;
    Doubles inverse;

    explicit Field(u64 prime)
        : q(V::broadcast(static_cast<double>(prime))), inverse(V::broadcast(1.0 / static_cast<double>(prime))) {}

    // round(a b), below 2^51 in size
    static Doubles rounded_product(Doubles a, Doubles b) {
        const Doubles shift = V::broadcast(0x1.8p52);
        return V::multiply_add(a, b, shift) - shift;
    }
    Doubles multiply(Doubles x, Multiplier<V> f) const {
        return exact_remainder(x, f.w, rounded_product(x, f.over_q));
    }
    // The same for x within 8.
    Doubles multiply_large(Doubles x, Multiplier<V> f) const {
        return exact_remainder(x, f.w, V::nearest(x * f.over_q));
    }
    // Both factors unknown, their product below 2^100 in size: within 3/4.
    Doubles multiply(Doubles a, Doubles b) const {
        const Doubles high = a * b;
        const Doubles low = V::multiply_subtract(a, b, high);
        return V::subtract_product(high, rounded_product(high, inverse), q) + low;
    }
    // Within 1/2 (and a rounding error of 2^-18).
    Doubles reduce(Doubles x) const { return V::subtract_product(x, rounded_product(x, inverse), q); }
    // Any residue to a canonical word.
    Words canonical(Doubles x) const { return canonical_small(reduce(x)); }
    // Residues within 1 (not q itself) to canonical words.
    Words canonical_small(Doubles x) const { return V::to_words(V::add_if_negative(x, q)); }

private:
    Doubles exact_remainder(Doubles x, Doubles w, Doubles quotient) const {
        const Doubles high = x * w;
        const Doubles low = V::multiply_subtract(x, w, high);
        return V::subtract_product(high, quotient, q) + low;
    }
};

template <class V>
typename V::Doubles residues(const u64* p) {
    return V::from_words(V::load_words(p));
}

// A sum of up to kTerms products a b, each below 2^100 in size, without a division: every product is split into a multiple
// of 2^50 and the rest by rounding against large constants, and the bits of both are added as integers.
template <class V>
class LazySum {
public:
    static constexpr std::size_t kTerms = 1024;

    // `terms` products will be added. multiple_of_q, in [2^61, 2^62), keeps both sums positive.
    LazySum(std::size_t terms, u64 multiple_of_q)
        : high_(V::broadcast_word(multiple_of_q - terms * kHighBits)),
          low_(V::broadcast_word(multiple_of_q - terms * kLowBits)) {}

    void add_product(typename V::Doubles a, typename V::Doubles b) {
        const typename V::Doubles high = V::multiply_add(a, b, V::broadcast(kHigh));
        const typename V::Doubles low = V::multiply_add(a, b, V::broadcast(kHigh + kLow) - high);
        high_ = V::wrapping_sum(high_, V::bits(high));
        low_ = V::wrapping_sum(low_, V::bits(low));
    }
    // high 2^50 + low with 0 <= low < 2^50 and 0 <= high < 2^63.
    typename V::Words high() const { return high_ + V::shift_right(low_, kShift); }
    typename V::Words low() const { return low_ & V::broadcast_word((u64{1} << kShift) - 1); }

    static constexpr int kShift = 50;

private:
    static constexpr double kHigh = 0x1.8p102;  // last digit 2^50
    static constexpr double kLow = 0x1.8p52;    // last digit 1
    static constexpr u64 kHighBits = std::bit_cast<u64>(kHigh);
    static constexpr u64 kLowBits = std::bit_cast<u64>(kLow);
    typename V::Words high_;
    typename V::Words low_;
};

// Brings such sums to residues within 1/2.
template <class V>
class LazyReduction {
public:
    explicit LazyReduction(const Modulus& m)
        : field_(m.q),
          upper_(Multiplier<V>::of(m.power(2, LazySum<V>::kShift + 32), m.q)),
          lower_(Multiplier<V>::of(m.power(2, LazySum<V>::kShift), m.q)),
          multiple_(m.q << (62 - m.bits)) {}

    LazySum<V> start(std::size_t terms) const { return LazySum<V>(terms, multiple_); }
    typename V::Doubles residue(const LazySum<V>& sum) const {
        const typename V::Words high = sum.high();
        const typename V::Words half = high & V::broadcast_word(0xffffffff);
        return field_.reduce(field_.multiply(V::from_words(V::shift_right(high, 32)), upper_) +
                             field_.multiply(V::from_words(half), lower_) + V::from_words(sum.low()));
    }

private:
    Field<V> field_;
    Multiplier<V> upper_;
    Multiplier<V> lower_;
    u64 multiple_;
};

}  // namespace kakuri::ckks::lanes
