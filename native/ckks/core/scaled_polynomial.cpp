#include "scaled_polynomial.hpp"

#include <algorithm>
#include <cmath>

#include "checks.hpp"

namespace kakuri::ckks {

ScaledPolynomial::Coefficient ScaledPolynomial::rounded(double value) {
    const double whole = std::nearbyint(value);
    if (std::abs(whole) < 0x1p62) return {static_cast<i64>(whole), 0};
    int exponent = 0;
    const double fraction = std::frexp(whole, &exponent);
    return {static_cast<i64>(std::ldexp(fraction, 53)), exponent - 53};
}

ScaledPolynomial::ScaledPolynomial(const Context& context, std::span<const double> values, double scale,
                                   double log_modulus, const std::string& where) {
    if (values.size() > context.slots())
        throw Error({"KK-N11", "more values than slots", where, std::to_string(values.size()),
                     std::to_string(context.slots()), "use a larger ring or several plaintexts"});
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]))
            throw Error(
                {"KK-N07", "value is not finite", where + "[" + std::to_string(i) + "]", text(values[i]), "", ""});

    std::vector<double> real(context.n());
    context.encoder().to_coefficients(values, real);
    double largest = 0;
    for (double c : real) largest = std::max(largest, std::abs(c));
    const double bits = std::log2(largest) + std::log2(scale) + 1;
    if (!(bits < log_modulus))
        throw Error({"KK-N07", "scaled coefficients do not fit the modulus of this level", where, "2^" + text(bits - 1),
                     "2^" + text(log_modulus - 1), "use a smaller scale or a higher level"});
    coefficients_.reserve(real.size());
    for (double c : real) coefficients_.push_back(rounded(c * scale));
    if (bits < 62) largest_ = static_cast<u64>(std::nearbyint(largest * scale));
}

bool ScaledPolynomial::is_zero() const {
    return std::all_of(coefficients_.begin(), coefficients_.end(),
                       [](const Coefficient& c) { return c.mantissa == 0; });
}

void ScaledPolynomial::make_symmetric() {
    const std::size_t n = coefficients_.size();
    coefficients_[n / 2] = {0, 0};
    for (std::size_t i = 1; i < n / 2; ++i)
        coefficients_[n - i] = {-coefficients_[i].mantissa, coefficients_[i].exponent};
}

void ScaledPolynomial::residues(const Context& context, int prime, u64* out) const {
    const Modulus& m = context.modulus(prime);
    if (largest_ < m.q) {
        for (std::size_t i = 0; i < coefficients_.size(); ++i) {
            const i64 value = coefficients_[i].mantissa;
            out[i] = static_cast<u64>(value) + (static_cast<u64>(value >> 63) & m.q);
        }
    } else {
        for (std::size_t i = 0; i < coefficients_.size(); ++i) {
            out[i] = m.reduce_signed(coefficients_[i].mantissa);
            if (coefficients_[i].exponent != 0)
                out[i] = m.multiply(out[i], m.power(2, static_cast<u64>(coefficients_[i].exponent)));
        }
    }
    context.to_ntt(prime, out);
}

}  // namespace kakuri::ckks
