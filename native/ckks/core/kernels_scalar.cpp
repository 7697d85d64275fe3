// Purpose: the kernel table for any 64-bit machine.
// Source: Harvey 2014 (lazy butterflies). With q < 2^50 the 14 spare bits absorb all growth of the forward transform,
//   so its butterflies have no correction at all; see the bounds at each loop.
#include "kernels.hpp"
#include "linear_scalar.hpp"

namespace kakuri::ckks {

namespace {

// Values grow by 2q per stage: below 33q < 2^56 after the 16 stages of the largest ring.
void forward(const NttTables& tables, u64* x) {
    const u64 q = tables.modulus().q;
    const Factor* powers = tables.powers();
    const std::size_t n = tables.n();
    std::size_t t = n / 2;
    for (std::size_t m = 1; t >= 4; m *= 2, t /= 2) {
        for (std::size_t i = 0; i < m; ++i) {
            const Factor w = powers[m + i];
            u64* a = x + 2 * i * t;
            u64* b = a + t;
            for (std::size_t j = 0; j < t; j += 4) {
                for (std::size_t k = j; k < j + 4; ++k) {
                    const u64 v = multiply_lazy(b[k], w, q);
                    b[k] = a[k] + (2 * q - v);
                    a[k] += v;
                }
            }
        }
    }
    // The stages of distance 2 and 1 together, then to canonical residues.
    const Modulus& modulus = tables.modulus();
    for (std::size_t i = 0; i < n / 4; ++i) {
        u64* y = x + 4 * i;
        const Factor w = powers[n / 4 + i];
        const u64 v0 = multiply_lazy(y[2], w, q);
        const u64 v1 = multiply_lazy(y[3], w, q);
        const u64 a0 = y[0] + v0, a1 = y[1] + v1, b0 = y[0] + (2 * q - v0), b1 = y[1] + (2 * q - v1);
        const u64 s = multiply_lazy(a1, powers[n / 2 + 2 * i], q);
        const u64 r = multiply_lazy(b1, powers[n / 2 + 2 * i + 1], q);
        y[0] = modulus.reduce(a0 + s);
        y[1] = modulus.reduce(a0 + (2 * q - s));
        y[2] = modulus.reduce(b0 + r);
        y[3] = modulus.reduce(b0 + (2 * q - r));
    }
}

// Sums double per stage, products fall below 2q. Sums are reduced at every eighth stage: below 2^8 2q < 2^59
// throughout.
void inverse(const NttTables& tables, u64* x, u64 factor) {
    const Modulus& modulus = tables.modulus();
    const u64 q = modulus.q;
    const Factor* powers = tables.inverse_powers();
    const std::size_t n = tables.n();
    u64 bound = 2 * q;  // inputs of the stage lie below it
    int stage = 1;
    std::size_t t = 1;
    for (std::size_t m = n / 2; m > 1; m /= 2, t *= 2, ++stage) {
        const bool reduce = stage % 8 == 0;
        for (std::size_t i = 0; i < m; ++i) {
            const Factor w = powers[m + i];
            u64* a = x + 2 * i * t;
            u64* b = a + t;
            if (reduce) {
                for (std::size_t k = 0; k < t; ++k) {
                    const u64 u = a[k];
                    a[k] = multiply_lazy(u + b[k], modulus.one, q);
                    b[k] = multiply_lazy(u + bound - b[k], w, q);
                }
            } else {
                for (std::size_t k = 0; k < t; ++k) {
                    const u64 u = a[k];
                    a[k] = u + b[k];
                    b[k] = multiply_lazy(u + bound - b[k], w, q);
                }
            }
        }
        bound = reduce ? 2 * q : 2 * bound;
    }
    const u64 scale = modulus.multiply(factor, tables.inverse_n());
    const Factor sum(scale, q);
    const Factor difference(modulus.multiply(scale, powers[1].w), q);
    for (std::size_t k = 0; k < n / 2; ++k) {
        const u64 u = x[k];
        const u64 v = x[k + n / 2];
        x[k] = modulus.multiply(u + v, sum);
        x[k + n / 2] = modulus.multiply(u + bound - v, difference);
    }
}

void fold(const Modulus& m, u64* x, Factor w, std::size_t n) {
    for (std::size_t i = 1; i <= n / 2; ++i) {
        const u64 a = x[i];
        const u64 b = x[n - i];
        x[i] = m.add(a, m.multiply(b, w));
        x[n - i] = m.add(b, m.multiply(a, w));
    }
}

void add(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.add(a[j], b[j]);
}

void subtract(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.subtract(a[j], b[j]);
}

void negate(const Modulus& m, u64* r, const u64* a, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.negate(a[j]);
}

void add_scalar(const Modulus& m, u64* r, const u64* a, u64 s, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.add(a[j], s);
}

void multiply(const Modulus& m, u64* r, const u64* a, const u64* b, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.multiply(a[j], b[j]);
}

void multiply_scalar(const Modulus& m, u64* r, const u64* a, Factor w, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.multiply(a[j], w);
}

void subtract_multiply(const Modulus& m, u64* r, const u64* a, const u64* b, Factor w, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = m.multiply(a[j] + m.q - b[j], w);
}

void tensor(const Modulus& m, u64* r0, u64* r1, u64* r2, const u64* a0, const u64* a1, const u64* b0, const u64* b1,
            std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        r0[j] = m.multiply(a0[j], b0[j]);
        r1[j] = m.reduce(static_cast<u128>(a0[j]) * b1[j] + static_cast<u128>(a1[j]) * b0[j]);
        r2[j] = m.multiply(a1[j], b1[j]);
    }
}

void permute(u64* r, const u64* a, const std::uint32_t* permutation, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) r[j] = a[permutation[j]];
}

void convert(const Modulus& m, u64* r, const ConvertTerm* terms, std::size_t count, u64 constant, std::size_t n) {
    const auto shifted = [](const ConvertTerm& term, std::size_t j) {
        return reduce_once(term.input[j] + (term.prime - 1) / 2, term.prime);
    };
    if (count == 1 && terms[0].weight.w == 1) {
        for (std::size_t j = 0; j < n; ++j) r[j] = m.reduce(shifted(terms[0], j) + constant);
        return;
    }
    for (std::size_t j = 0; j < n; ++j) {
        u128 sum = constant;
        for (std::size_t i = 0; i < count; ++i) sum += static_cast<u128>(shifted(terms[i], j)) * terms[i].weight.w;
        r[j] = m.reduce(sum);
    }
}

void dot(const Modulus& m, u64* r, const ProductTerm* terms, std::size_t count, std::size_t n) {
    // Tiles of one page of coefficients keep the 128-bit sums in the first-level cache while the terms stream by.
    constexpr std::size_t kTile = 256;
    u128 sums[kTile];
    for (std::size_t start = 0; start < n; start += kTile) {
        const std::size_t size = n - start < kTile ? n - start : kTile;
        for (std::size_t j = 0; j < size; ++j) sums[j] = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const u64* a = terms[i].a + start;
            const u64* b = terms[i].b + start;
            for (std::size_t j = 0; j < size; ++j) sums[j] += static_cast<u128>(a[j]) * b[j];
        }
        for (std::size_t j = 0; j < size; ++j) r[start + j] = m.reduce(sums[j]);
    }
}

u64 reduce_signed(const Modulus& m, i128 x) {
    return x < 0 ? m.negate(m.reduce(static_cast<u128>(-x))) : m.reduce(static_cast<u128>(x));
}

void weighted_sum(const Modulus& m, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
                  const i64* weights, std::size_t count, std::size_t n) {
    // A tile of every input (16 words each) stays in the first-level cache while the outputs pass over it.
    constexpr std::size_t kTile = 16;
    i128 sums[kTile];
    for (std::size_t start = 0; start < n; start += kTile) {
        for (std::size_t o = 0; o < output_count; ++o) {
            const i64* row = weights + o * count;
            for (i128& sum : sums) sum = 0;
            for (std::size_t i = 0; i < count; ++i) {
                const u64* x = inputs[i] + start;
                for (std::size_t j = 0; j < kTile; ++j) sums[j] += static_cast<i128>(static_cast<i64>(x[j])) * row[i];
            }
            for (std::size_t j = 0; j < kTile; ++j) outputs[o][start + j] = reduce_signed(m, sums[j]);
        }
    }
}

}  // namespace

const Kernels* scalar_kernels() {
    static constexpr Kernels kTable = {
        "scalar",
        forward,
        inverse,
        fold,
        add,
        subtract,
        negate,
        add_scalar,
        multiply,
        multiply_scalar,
        subtract_multiply,
        tensor,
        permute,
        convert,
        dot,
        weighted_sum,
        scalar::rotate,
        scalar::add_rotation,
        scalar::pack_rotation,
        scalar::diagonal_sums,
    };
    return &kTable;
}

}  // namespace kakuri::ckks
