// Purpose: tables for the negacyclic number-theoretic transform of one prime.
// Guarantees: the transform maps coefficients a_0 ... a_{N-1} to the values a(psi^(2 br(j) + 1)) at position j, where
//   psi is the smallest primitive 2N-th root and br reverses log2(N) bits; every kernel path gives the same canonical
//   residues.
// Source: Longa and Naehrig, "Speeding up the number theoretic transform", 2016 (merged twists, bit-reversed roots).
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "buffer.hpp"

namespace kakuri::ckks {

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
    const Buffer& doubles(Build build) const {
        std::call_once(doubles_once_, [&] { doubles_ = build(*this); });
        return doubles_;
    }
    template <class Build>
    const Buffer& words52(Build build) const {
        std::call_once(words52_once_, [&] { words52_ = build(*this); });
        return words52_;
    }

private:
    int log_n_;
    Modulus modulus_;
    u64 root_;
    Factor inverse_n_;
    std::vector<Factor> powers_;
    std::vector<Factor> inverse_powers_;
    mutable std::once_flag doubles_once_;
    mutable std::once_flag words52_once_;
    mutable Buffer doubles_;
    mutable Buffer words52_;
};

inline std::size_t reverse_bits(std::size_t value, int bits) {
    std::size_t out = 0;
    for (int i = 0; i < bits; ++i) out |= ((value >> i) & 1) << (bits - 1 - i);
    return out;
}

}  // namespace kakuri::ckks
