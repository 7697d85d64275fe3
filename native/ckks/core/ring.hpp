// Purpose: the two rings of the kernel, and which powers of a root of unity their elements are evaluated at.
// Standard: Z[X]/(X^N + 1), N/2 real slots. Conjugate-invariant: its subring of Z[X]/(X^2N + 1) that X -> 1/X leaves
//   alone, a_0 + sum a_i (X^i + X^-i) with i < N: N coefficients, N real slots.
// Source: Kim and Song, "Approximate homomorphic encryption over the conjugate-invariant ring", eprint 2018/952.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kakuri::ckks {

enum class RingKind : std::uint8_t { kStandard, kConjugateInvariant };

struct Ring {
    int log_n = 0;
    RingKind kind = RingKind::kStandard;

    bool folded() const { return kind == RingKind::kConjugateInvariant; }
    std::size_t n() const { return std::size_t{1} << log_n; }
    int log_slots() const { return folded() ? log_n : log_n - 1; }
    std::size_t slots() const { return std::size_t{1} << log_slots(); }
    // Primes are 1 modulo the order of the root of unity; position j of the NTT form stands for its power
    // step() br(j) + 1, and rotation by one slot is X -> X^5.
    int log_order() const { return log_slots() + 2; }
    std::uint64_t order() const { return std::uint64_t{1} << log_order(); }
    std::uint64_t step() const { return folded() ? 4 : 2; }
};

}  // namespace kakuri::ckks
