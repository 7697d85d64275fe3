// Purpose: tables for the negacyclic number-theoretic transform of one prime.
// Guarantees: the transform maps coefficients a_0 ... a_{N-1} to the values a(psi^(2 br(j) + 1)) at position j, where
//   psi is the smallest primitive 2N-th root and br reverses log2(N) bits; every kernel path gives the same canonical
//   residues.
// Source: Longa and Naehrig, "Speeding up the number theoretic transform", 2016 (merged twists, bit-reversed roots).
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "buffer.hpp"

namespace kakuri::ckks {

enum class TableLayout { kDoubles4, kDoubles8, kWords52, kCount };

class NttTables {
public:
    NttTables(int log_n, u64 prime);
    NttTables(const NttTables&) = delete;
    NttTables& operator=(const NttTables&) = delete;

    int log_n() const { return log_n_; }
    std::size_t n() const { return std::size_t{1} << log_n_; }
    const Modulus& modulus() const { return modulus_; }
    u64 root() const { return root_; }

    // powers[i] = psi^br(i), and the inverses in the same order.
    const Factor* powers() const { return powers_.data(); }
    const Factor* inverse_powers() const { return inverse_powers_.data(); }
    Factor inverse_n() const { return inverse_n_; }

    // Tables in the layout of one vector path, built at its first use (thread-safe) and kept.
    template <class Build>
    const Buffer& in_layout(TableLayout layout, Build build) const {
        Layout& slot = layouts_[static_cast<std::size_t>(layout)];
        std::call_once(slot.once, [&] { slot.words = build(*this); });
        return slot.words;
    }

private:
    int log_n_;
    Modulus modulus_;
    u64 root_;
    Factor inverse_n_;
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
