#include "encoder.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ntt.hpp"

namespace kakuri::ckks {

namespace {

// Real and imaginary parts apart, so that compilers make vectors of the loops.
struct Parts {
    std::vector<double> real;
    std::vector<double> imaginary;
    explicit Parts(std::size_t count) : real(count), imaginary(count) {}
};

// (u, v) = (u + v, (u - v) / w) for count pairs; w lies on the unit circle.
void difference_butterflies(double* __restrict u_re, double* __restrict u_im, double* __restrict v_re,
                            double* __restrict v_im, const double* __restrict w_re, const double* __restrict w_im,
                            std::size_t count) {
    for (std::size_t j = 0; j < count; ++j) {
        const double re = u_re[j] - v_re[j], im = u_im[j] - v_im[j];
        u_re[j] += v_re[j];
        u_im[j] += v_im[j];
        v_re[j] = re * w_re[j] + im * w_im[j];
        v_im[j] = im * w_re[j] - re * w_im[j];
    }
}

// (u, v) = (u + v w, u - v w) for count pairs.
void product_butterflies(double* __restrict u_re, double* __restrict u_im, double* __restrict v_re,
                         double* __restrict v_im, const double* __restrict w_re, const double* __restrict w_im,
                         std::size_t count) {
    for (std::size_t j = 0; j < count; ++j) {
        const double re = v_re[j] * w_re[j] - v_im[j] * w_im[j], im = v_re[j] * w_im[j] + v_im[j] * w_re[j];
        v_re[j] = u_re[j] - re;
        v_im[j] = u_im[j] - im;
        u_re[j] += re;
        u_im[j] += im;
    }
}

template <class Butterflies>
void stage(Butterflies butterflies, Parts& x, std::size_t half, const double* w_re, const double* w_im) {
    for (std::size_t block = 0; block < x.real.size(); block += 2 * half) {
        double* re = &x.real[block];
        double* im = &x.imaginary[block];
        butterflies(re, im, re + half, im + half, w_re, w_im, half);
    }
}

}  // namespace

Encoder::Encoder(const Ring& ring)
    : folded_(ring.folded()),
      slots_(ring.slots()),
      cosines_(slots_ - 1),
      sines_(slots_ - 1),
      reversed_(slots_) {
    for (std::size_t half = 1; half < slots_; half *= 2) {
        const std::size_t order = 8 * half;
        std::size_t power = 1;  // 5^j mod order
        for (std::size_t j = 0; j < half; ++j, power = 5 * power % order) {
            const long double angle =
                2 * std::numbers::pi_v<long double> * static_cast<long double>(power) / static_cast<long double>(order);
            cosines_[half - 1 + j] = static_cast<double>(cosl(angle));
            sines_[half - 1 + j] = static_cast<double>(sinl(angle));
        }
    }
    for (std::size_t i = 0; i < slots_; ++i)
        reversed_[i] = static_cast<std::uint32_t>(reverse_bits(i, ring.log_slots()));
}

void Encoder::to_coefficients(std::span<const double> values, std::span<double> coefficients) const {
    Parts x(slots_);
    std::copy(values.begin(), values.end(), x.real.begin());
    for (std::size_t half = slots_ / 2; half >= 1; half /= 2)
        stage(difference_butterflies, x, half, &cosines_[half - 1], &sines_[half - 1]);
    const double factor = 1.0 / static_cast<double>(slots_);
    for (std::size_t i = 0; i < slots_; ++i) {
        coefficients[i] = x.real[reversed_[i]] * factor;
        if (!folded_) coefficients[i + slots_] = x.imaginary[reversed_[i]] * factor;
    }
}

void Encoder::to_slots(std::span<const double> coefficients, std::span<double> values) const {
    Parts x(slots_);
    // X^-i = -X^(2N - i): the upper half of a folded element mirrors the lower.
    for (std::size_t i = 0; i < slots_; ++i) {
        const double mirrored = i == 0 ? 0.0 : -coefficients[slots_ - i];
        x.real[reversed_[i]] = coefficients[i];
        x.imaginary[reversed_[i]] = folded_ ? mirrored : coefficients[i + slots_];
    }
    for (std::size_t half = 1; half < slots_; half *= 2)
        stage(product_butterflies, x, half, &cosines_[half - 1], &sines_[half - 1]);
    std::copy(x.real.begin(), x.real.end(), values.begin());
}

}  // namespace kakuri::ckks
