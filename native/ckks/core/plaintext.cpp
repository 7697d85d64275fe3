// Purpose: encoding, and the exact way back from residues to real coefficients.
#include <algorithm>

#include "checks.hpp"
#include "ciphertext.hpp"
#include "scaled_polynomial.hpp"

namespace kakuri::ckks {

namespace {

// Fixed-length numbers of little-endian words; lengths are public, values may be secret: no branch depends on a value.
using Words = std::vector<u64>;

void multiply_add(u64* r, const u64* a, std::size_t length, u64 factor) {
    u64 carry = 0;
    for (std::size_t k = 0; k < length; ++k) {
        const u128 x = static_cast<u128>(a[k]) * factor + r[k] + carry;
        r[k] = low_word(x);
        carry = high_word(x);
    }
}

// r -= a; returns all ones when the result is negative as a two's complement number, else 0.
u64 subtract(u64* r, const u64* a, std::size_t length) {
    u64 borrow = 0;
    for (std::size_t k = 0; k < length; ++k) {
        const u128 x = static_cast<u128>(r[k]) - a[k] - borrow;
        r[k] = low_word(x);
        borrow = high_word(x) & 1;
    }
    return u64{0} - (r[length - 1] >> 63);
}

void add_masked(u64* r, const u64* a, std::size_t length, u64 mask) {
    u64 carry = 0;
    for (std::size_t k = 0; k < length; ++k) {
        const u128 x = static_cast<u128>(r[k]) + (a[k] & mask) + carry;
        r[k] = low_word(x);
        carry = high_word(x);
    }
}

void negate_masked(u64* r, std::size_t length, u64 mask) {
    u64 carry = mask & 1;
    for (std::size_t k = 0; k < length; ++k) {
        const u128 x = static_cast<u128>(r[k] ^ mask) + carry;
        r[k] = low_word(x);
        carry = high_word(x);
    }
}

long double magnitude(const u64* x, std::size_t length) {
    long double sum = 0;
    long double unit = 1;
    for (std::size_t k = 0; k < length; ++k) {
        sum += static_cast<long double>(static_cast<i64>(x[k] & 0xffffffffu)) * unit;
        sum += static_cast<long double>(static_cast<i64>(x[k] >> 32)) * (unit * 0x1p32L);
        unit *= 0x1p64L;
    }
    return sum;
}

}  // namespace

Plaintext::Plaintext(ContextPtr owner, int at_level, double at_scale)
    : context(std::move(owner)),
      level(at_level),
      scale(at_scale),
      words(static_cast<std::size_t>(at_level + 1) * context->n(), context->pool()) {}

Plaintext encode(const ContextPtr& context, std::span<const double> values, double scale, int level) {
    check_level(level, context->max_level(), "level");
    check_scale(scale, context->log_modulus(level), "scale");
    const ScaledPolynomial polynomial(*context, values, scale, context->log_modulus(level), "values");
    Plaintext plaintext(context, level, scale);
    plaintext.is_zero = polynomial.is_zero();
    for (int i = 0; i <= level; ++i) polynomial.residues(*context, i, plaintext.limb(i));
    return plaintext;
}

std::vector<long double> centred_coefficients(const Context& context, const u64* limbs, int level) {
    const std::size_t n = context.n();
    const auto count = static_cast<std::size_t>(level + 1);
    const std::size_t length = static_cast<std::size_t>(context.log_modulus(level) / 64) + 2;

    // Q, H = (Q - 1) / 2, and every Q / q_i with its inverse modulo q_i.
    const auto product_without = [&](std::size_t skip) {
        Words product(length, 0);
        product[0] = 1;
        for (std::size_t i = 0; i < count; ++i) {
            if (i == skip) continue;
            Words next(length, 0);
            multiply_add(next.data(), product.data(), length, context.modulus(static_cast<int>(i)).q);
            product = std::move(next);
        }
        return product;
    };
    const Words modulus = product_without(count);
    Words half(length, 0);
    for (std::size_t k = 0; k < length; ++k) half[k] = (modulus[k] >> 1) | (k + 1 < length ? modulus[k + 1] << 63 : 0);
    std::vector<Words> cofactors;
    std::vector<Factor> inverses;
    std::vector<double> reciprocals;
    for (std::size_t i = 0; i < count; ++i) {
        const Modulus& m = context.modulus(static_cast<int>(i));
        cofactors.push_back(product_without(i));
        u64 residue = 1;
        for (std::size_t j = 0; j < count; ++j)
            if (j != i) residue = m.multiply(residue, m.reduce(context.modulus(static_cast<int>(j)).q));
        inverses.emplace_back(m.inverse(residue), m.q);
        reciprocals.push_back(1.0 / static_cast<double>(m.q));
    }

    std::vector<long double> out(n);
    Words sum(length);
    Words multiple(length);
    for (std::size_t c = 0; c < n; ++c) {
        // sum = x + H + v Q with x + H in [0, Q). The estimate of v is right or one too small.
        std::copy(half.begin(), half.end(), sum.begin());
        double quotient = 0.5 - 0x1p-30;
        for (std::size_t i = 0; i < count; ++i) {
            const Modulus& m = context.modulus(static_cast<int>(i));
            const u64 y = m.multiply(limbs[i * n + c], inverses[i]);
            multiply_add(sum.data(), cofactors[i].data(), length, y);
            quotient += static_cast<double>(static_cast<i64>(y)) * reciprocals[i];
        }
        std::fill(multiple.begin(), multiple.end(), u64{0});
        multiply_add(multiple.data(), modulus.data(), length, static_cast<u64>(static_cast<i64>(quotient)));
        subtract(sum.data(), multiple.data(), length);
        add_masked(sum.data(), modulus.data(), length, subtract(sum.data(), modulus.data(), length));
        const u64 negative = subtract(sum.data(), half.data(), length);
        negate_masked(sum.data(), length, negative);
        out[c] = static_cast<long double>(1 - 2 * static_cast<i64>(negative & 1)) * magnitude(sum.data(), length);
    }
    return out;
}

std::vector<double> decode(const Plaintext& plaintext) {
    const Context& context = *plaintext.context;
    Plaintext copy = plaintext;
    for (int i = 0; i <= copy.level; ++i) context.from_ntt(i, copy.limb(i), 1);
    const std::vector<long double> integers = centred_coefficients(context, copy.words.data(), copy.level);
    std::vector<double> coefficients(context.n());
    for (std::size_t i = 0; i < coefficients.size(); ++i)
        coefficients[i] = static_cast<double>(integers[i] / static_cast<long double>(copy.scale));
    std::vector<double> values(context.slots());
    context.encoder().to_slots(coefficients, values);
    return values;
}

}  // namespace kakuri::ckks
