// Purpose: the canonical embedding between real slots and N real coefficients, in double precision.
// Guarantees: slot j is the value of the element at zeta^(5^j), zeta = exp(2 pi i / order); rotation by a step is X ->
//   X^(5^step). An element of the conjugate-invariant ring is embedded as one of the standard ring of twice its dimension.
// Does not guarantee: more than about 2^-48 relative accuracy (double-precision transform of 16 stages).
// Source: Cheon, Kim, Kim and Song, "Homomorphic encryption for arithmetic of approximate numbers", 2017, section
//   3.2; the butterfly order is that of the "special FFT" over the orbit of 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ring.hpp"

namespace kakuri::ckks {

class Encoder {
public:
    explicit Encoder(const Ring& ring);

    // values: at most as many reals as slots, padded with zeros. coefficients: N reals.
    void to_coefficients(std::span<const double> values, std::span<double> coefficients) const;
    void to_slots(std::span<const double> coefficients, std::span<double> values) const;

private:
    bool folded_;
    std::size_t slots_;
    std::vector<double> cosines_;  // of the factors; stage of half-length h at [h - 1, 2h - 1)
    std::vector<double> sines_;
    std::vector<std::uint32_t> reversed_;  // indices with their bits in reverse order
};

}  // namespace kakuri::ckks
