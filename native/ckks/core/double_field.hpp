// Purpose: modular arithmetic on vectors of doubles, for q < 2^50, over a vector type V (simd256.hpp, simd512.hpp).
// Guarantees: residues are integers held exactly, |x| <= 2^53; products are exact modulo q. "x is within B" means |x|
//   <= B q.
// Requires: rounding to nearest and no contraction of separate operations (-ffp-contract=off).
// Source: the error-free product h + l = a b by one FMA (Dekker 1971; Ogita, Rump and Oishi 2005) with the quotient
//   rounded from a b/q, as in FLINT's fft_small (Schultz, 2022). Adding 1.5 2^52 within an FMA rounds the quotient to an
//   integer; that needs a quotient below 2^51 in size, hence multiply() of x within 4 by a factor within 1/2. Its result is
//   within 1/2 + B/16 (B/8 where w/q is itself a product with 1/q). Splitting a product against a large constant: Emmart,
//   Zheng and Weems, "Faster modular exponentiation using double precision floating point arithmetic on the GPU", 2018.
#pragma once

#include <algorithm>
#include <cmath>

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

// A sum of products a b of residues as high + low, both exact. The products are added to a constant so large that every
// partial sum is rounded to a multiple of one power of two; what the rounding took away is known exactly, for the
// difference of two neighbouring sums is, and is added up by itself.
template <class V>
class ProductSum {
public:
    using Doubles = typename V::Doubles;

    // start: as ProductSums gives it
    explicit ProductSum(Doubles start) : high_(start), low_(V::broadcast(0)) {}

    void add_product(Doubles a, Doubles b) {
        const Doubles next = V::multiply_add(a, b, high_);
        low_ = low_ + V::multiply_add(a, b, high_ - next);
        high_ = next;
    }
    Doubles high() const { return high_; }
    Doubles low() const { return low_; }

private:
    Doubles high_;
    Doubles low_;
};

// Starts such sums for one prime and brings them to residues. With q < 2^bits, factors within 1 and at most 2^(52 - bits)
// terms, a sum is below 2^(bits + 52), which is half the constant's size: its last digit is 2^(bits + 1). The roundings are
// then at most 2^bits each, below 2^52 in all, and high / q is below 2^53.
template <class V>
class ProductSums {
public:
    using Doubles = typename V::Doubles;

    explicit ProductSums(const Modulus& m)
        : field_(m.q),
          start_(V::broadcast(std::ldexp(1.5, m.bits + 53))),
          terms_(std::size_t{1} << std::min(52 - m.bits, 10)) {}

    std::size_t terms() const { return terms_; }
    ProductSum<V> start() const { return ProductSum<V>(start_); }
    // Below 2^53 in size: the rest of the high part is within 3.
    Doubles residue(const ProductSum<V>& sum) const {
        const Doubles high = sum.high() - start_;
        return V::subtract_product(high, V::nearest(high * field_.inverse), field_.q) + sum.low();
    }

private:
    Field<V> field_;
    Doubles start_;
    std::size_t terms_;
};

}  // namespace kakuri::ckks::lanes
