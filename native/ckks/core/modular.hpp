// Purpose: arithmetic modulo one prime q < 2^50 on 64-bit words.
// Guarantees: no division, branch or table look-up depends on the operands; only the set-up functions (pow, inverse,
//   constructors) work on public values alone and may.
// Source: Barrett reduction with a 64-bit quotient estimate; Shoup's multiplication by a known factor (NTL; Harvey,
//   "Faster arithmetic for number-theoretic transforms", 2014, section 2).
#pragma once

#include <bit>
#include <cstdint>

namespace kakuri::ckks {

using u64 = std::uint64_t;
using i64 = std::int64_t;
using u128 = unsigned __int128;
using i128 = __int128;

inline constexpr int kMaxModulusBits = 50;

static inline u64 high_word(u128 x) { return static_cast<u64>(x >> 64); }
static inline u64 low_word(u128 x) { return static_cast<u64>(x); }
static inline u64 multiply_high(u64 a, u64 b) { return high_word(static_cast<u128>(a) * b); }

// x in [0, 2q), q < 2^63: returns x mod q, by mask.
static inline u64 reduce_once(u64 x, u64 q) {
    const u64 d = x - q;
    return d + (q & (u64{0} - (d >> 63)));
}

// A factor w < q with floor(w 2^64 / q).
struct Factor {
    u64 w = 0;
    u64 quotient = 0;

    Factor() = default;
    Factor(u64 value, u64 q) : w(value), quotient(low_word((static_cast<u128>(value) << 64) / q)) {}
};

// Any x < 2^64: x w mod q, in [0, 2q).
static inline u64 multiply_lazy(u64 x, Factor f, u64 q) { return x * f.w - multiply_high(x, f.quotient) * q; }

struct Modulus {
    u64 q = 0;
    int bits = 0;
    u64 barrett = 0;   // floor(2^(63 + bits) / q), in (2^63, 2^64)
    Factor one;        // 1: multiply_lazy(x, one) reduces any word to [0, 2q)
    Factor two_to_64;  // 2^64 mod q

    Modulus() = default;
    explicit Modulus(u64 prime)
        : q(prime),
          bits(static_cast<int>(std::bit_width(prime))),
          barrett(low_word((static_cast<u128>(1) << (63 + std::bit_width(prime))) / prime)),
          one(1, prime),
          two_to_64(low_word((static_cast<u128>(1) << 64) % prime), prime) {}

    u64 add(u64 a, u64 b) const { return reduce_once(a + b, q); }
    u64 subtract(u64 a, u64 b) const { return reduce_once(a + q - b, q); }
    u64 negate(u64 a) const { return reduce_once(q - a, q); }

    // a, b with a b < 2^(2 bits): a b mod q. The estimate is at most 2 short, so the remainder is below 3q.
    u64 multiply(u64 a, u64 b) const {
        const u128 x = static_cast<u128>(a) * b;
        const u64 estimate = multiply_high(low_word(x >> (bits - 1)), barrett);
        return reduce_once(reduce_once(low_word(x) - estimate * q, 2 * q), q);
    }
    u64 multiply(u64 a, Factor f) const { return reduce_once(multiply_lazy(a, f, q), q); }

    u64 reduce(u64 x) const { return reduce_once(multiply_lazy(x, one, q), q); }
    u64 reduce(u128 x) const {
        const u64 r = multiply_lazy(high_word(x), two_to_64, q) + multiply_lazy(low_word(x), one, q);
        return reduce_once(reduce_once(r, 2 * q), q);
    }
    // |x| < 2^63.
    u64 reduce_signed(i64 x) const {
        const u64 sign = static_cast<u64>(x >> 63);
        const u64 r = reduce((static_cast<u64>(x) ^ sign) - sign);
        return (r & ~sign) | (negate(r) & sign);
    }

    u64 power(u64 base, u64 exponent) const {
        u64 result = 1;
        for (u64 b = reduce(base); exponent != 0; exponent >>= 1, b = multiply(b, b))
            if (exponent & 1) result = multiply(result, b);
        return result;
    }
    u64 inverse(u64 a) const { return power(a, q - 2); }
};

}  // namespace kakuri::ckks
