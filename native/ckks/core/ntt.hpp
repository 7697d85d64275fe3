// Purpose: tables for the number-theoretic transform of one prime in one ring.
// Guarantees: the transform maps coefficients a_0 ... a_{N-1} to the values of sum a_i X^i at psi^(step br(j) + 1) at
//   position j, where psi is the smallest primitive root of the ring's order and br reverses log2(N) bits; every kernel
//   path gives the same canonical residues. In the conjugate-invariant ring the coefficients are those that fold() makes
//   of a_0 + sum a_i (X^i + X^-i): with I = psi^N, X^-i = -I X^(N-i) at all these points, so b_i = a_i - I a_(N-i).
// Source: Longa and Naehrig, "Speeding up the number theoretic transform", 2016 (merged twists, bit-reversed roots).
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "buffer.hpp"
#include "ring.hpp"

namespace kakuri::ckks {

enum class TableLayout { kDoubles4, kDoubles8, kWords52, kCount };

class NttTables {
public:
    NttTables(Ring ring, u64 prime);
    NttTables(const NttTables&) = delete;
    NttTables& operator=(const NttTables&) = delete;

    const Ring& ring() const { return ring_; }
    int log_n() const { return ring_.log_n; }
    std::size_t n() const { return ring_.n(); }
    const Modulus& modulus() const { return modulus_; }
    u64 root() const { return root_; }

    // Node k of the tree of factors of X^N - psi^N (node 1) splits a factor X^2m - w^2 into X^m - w (node 2k) and
    // X^m + w (node 2k + 1): powers[k] = w, and the inverses in the same order.
    const Factor* powers() const { return powers_.data(); }
    const Factor* inverse_powers() const { return inverse_powers_.data(); }
    Factor inverse_n() const { return inverse_n_; }
    // psi^N
    u64 unit() const { return unit_; }

    // Tables in the layout of one vector path, built at its first use (thread-safe) and kept.
    template <class Build>
    const Buffer& in_layout(TableLayout layout, Build build) const {
        Layout& slot = layouts_[static_cast<std::size_t>(layout)];
        std::call_once(slot.once, [&] { slot.words = build(*this); });
        return slot.words;
    }

private:
    Ring ring_;
    Modulus modulus_;
    u64 root_;
    Factor inverse_n_;
    u64 unit_;
    std::vector<Factor> powers_;
    std::vector<Factor> inverse_powers_;
    struct Layout {
        std::once_flag once;
        Buffer words;
    };
    mutable std::array<Layout, static_cast<std::size_t>(TableLayout::kCount)> layouts_;
};

inline std::size_t reverse_bits(std::size_t value, int bits) {
    std::size_t out = 0;
    for (int i = 0; i < bits; ++i) out |= ((value >> i) & 1) << (bits - 1 - i);
    return out;
}

}  // namespace kakuri::ckks
