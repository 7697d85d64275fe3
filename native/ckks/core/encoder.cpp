#include "encoder.hpp"

#include <cmath>
#include <numbers>

#include "ntt.hpp"

namespace kakuri::ckks {

namespace {

using Complex = std::complex<double>;

// std::complex multiplication checks for NaN; these values are finite by the caller's check.
Complex product(Complex a, Complex b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

void bit_reverse(std::vector<Complex>& x, int bits) {
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t j = reverse_bits(i, bits);
        if (i < j) std::swap(x[i], x[j]);
    }
}

}  // namespace

Encoder::Encoder(const Ring& ring)
    : folded_(ring.folded()), slots_(ring.slots()), log_slots_(ring.log_slots()), twiddles_(slots_ - 1) {
    for (std::size_t half = 1; half < slots_; half *= 2) {
        const std::size_t order = 8 * half;
        std::size_t power = 1;  // 5^j mod order
        for (std::size_t j = 0; j < half; ++j, power = 5 * power % order) {
            const long double angle =
                2 * std::numbers::pi_v<long double> * static_cast<long double>(power) / static_cast<long double>(order);
            twiddles_[half - 1 + j] = {static_cast<double>(cosl(angle)), static_cast<double>(sinl(angle))};
        }
    }
}

void Encoder::to_coefficients(std::span<const double> values, std::span<double> coefficients) const {
    std::vector<Complex> x(slots_);
    for (std::size_t i = 0; i < values.size(); ++i) x[i] = values[i];
    for (std::size_t half = slots_ / 2; half >= 1; half /= 2) {
        const Complex* w = &twiddles_[half - 1];
        for (std::size_t block = 0; block < slots_; block += 2 * half) {
            for (std::size_t j = 0; j < half; ++j) {
                const Complex u = x[block + j];
                const Complex v = x[block + j + half];
                x[block + j] = u + v;
                x[block + j + half] = product(u - v, std::conj(w[j]));
            }
        }
    }
    bit_reverse(x, log_slots_);
    const double factor = 1.0 / static_cast<double>(slots_);
    for (std::size_t i = 0; i < slots_; ++i) {
        coefficients[i] = x[i].real() * factor;
        if (!folded_) coefficients[i + slots_] = x[i].imag() * factor;
    }
}

void Encoder::to_slots(std::span<const double> coefficients, std::span<double> values) const {
    std::vector<Complex> x(slots_);
    // X^-i = -X^(2N - i): the upper half of a folded element mirrors the lower.
    for (std::size_t i = 0; i < slots_; ++i) {
        const double mirrored = i == 0 ? 0.0 : -coefficients[slots_ - i];
        x[i] = {coefficients[i], folded_ ? mirrored : coefficients[i + slots_]};
    }
    bit_reverse(x, log_slots_);
    for (std::size_t half = 1; half < slots_; half *= 2) {
        const Complex* w = &twiddles_[half - 1];
        for (std::size_t block = 0; block < slots_; block += 2 * half) {
            for (std::size_t j = 0; j < half; ++j) {
                const Complex u = x[block + j];
                const Complex v = product(x[block + j + half], w[j]);
                x[block + j] = u + v;
                x[block + j + half] = u - v;
            }
        }
    }
    for (std::size_t i = 0; i < slots_; ++i) values[i] = x[i].real();
}

}  // namespace kakuri::ckks
