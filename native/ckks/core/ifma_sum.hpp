// Purpose: sums of 104-bit products in two halves, and how to bring them to canonical residues.
#pragma once

#include "ifma_transform.hpp"
#include "kernels.hpp"

namespace kakuri::ckks::ifma {

inline constexpr std::size_t kTermsAtOnce = 2048;

// A sum of products in two halves, and how to bring it to [0, q).
template <class V>
struct Sum {
    V low = V::broadcast(0);
    V high = V::broadcast(0);
    void add_product(V a, V b) {
        low = V::add_low(low, a, b);
        high = V::add_high(high, a, b);
    }
};
template <class V>
struct Reduction {
    using T = Transform<V>;
    using Field = typename T::Field;
    using Multiplier = typename T::Multiplier;

    Field f;
    V q4;
    Multiplier one, two_52, two_104;
    explicit Reduction(const Modulus& m)
        : f(m.q),
          q4(V::broadcast(4 * m.q)),
          one(T::multiplier(1, m.q)),
          two_52(T::multiplier(m.power(2, 52), m.q)),
          two_104(T::multiplier(m.power(2, 104), m.q)) {}
    V operator()(Sum<V> s) const {
        const V high = s.high + V::shift_right_52(s.low);
        const V x = f.multiply(V::low52(s.low), one) + f.multiply(V::low52(high), two_52) +
                    f.multiply(V::shift_right_52(high), two_104);  // below 6q
        return f.canonical(V::smaller(x, x - q4));
    }
};

}  // namespace kakuri::ckks::ifma
