// Purpose: slots to integer coefficients at a scale, and those to residues.
// Guarantees: coefficients are the nearest integers to the embedding's, of any size that fits the modulus.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "parameters.hpp"

namespace kakuri::ckks {

class ScaledPolynomial {
public:
    // Throws KK-N07 or KK-N11, naming `where`. Coefficients must stay below half of 2^log_modulus.
    ScaledPolynomial(const Context& context, std::span<const double> values, double scale, double log_modulus,
                     const std::string& where);

    bool is_zero() const;
    // Makes the polynomial its own image under X -> 1/X to the last digit, which that of real slots is but for
    // rounding: its values at a root of unity and at the inverse root are then equal.
    void make_symmetric();
    // In NTT form modulo prime number `prime`, n words.
    void residues(const Context& context, int prime, u64* out) const;

private:
    // mantissa 2^exponent, |mantissa| < 2^62
    struct Coefficient {
        i64 mantissa;
        int exponent;
    };
    static Coefficient rounded(double value);
    std::vector<Coefficient> coefficients_;
    u64 largest_ = ~u64{0};  // of |coefficients|; this where one does not fit a mantissa
};

}  // namespace kakuri::ckks
