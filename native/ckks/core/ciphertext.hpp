// Purpose: the public data types. Polynomials are kept in NTT form, one aligned array [polynomial][limb][N].
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "parameters.hpp"

namespace kakuri::ckks {

struct Plaintext {
    Plaintext(ContextPtr context, int level, double scale);
    u64* limb(int i) { return words.data() + static_cast<std::size_t>(i) * context->n(); }
    const u64* limb(int i) const { return words.data() + static_cast<std::size_t>(i) * context->n(); }

    ContextPtr context;
    int level;
    double scale;
    bool is_zero = false;
    Buffer words;
};

// Throws KK-N05, KK-N07 or KK-N11.
Plaintext encode(const ContextPtr& context, std::span<const double> values, double scale, int level);

// Exact centred coefficients of residues in coefficient form, limbs 0 .. level of `limbs` (each n words), as long
// doubles.
std::vector<long double> centred_coefficients(const Context& context, const u64* limbs, int level);

std::vector<double> decode(const Plaintext& plaintext);

struct Ciphertext {
    Ciphertext(ContextPtr context, int size, int level, double scale);
    u64* limb(int polynomial, int i) { return words.data() + offset(polynomial, i); }
    const u64* limb(int polynomial, int i) const { return words.data() + offset(polynomial, i); }
    std::size_t offset(int polynomial, int i) const {
        return (static_cast<std::size_t>(polynomial) * static_cast<std::size_t>(level + 1) +
                static_cast<std::size_t>(i)) *
               context->n();
    }

    ContextPtr context;
    int size;
    int level;
    double scale;
    std::optional<Seed> seed;  // of the second polynomial, while it is the fresh uniform one
    Buffer words;
};

// (b, a) with b = -a s + e over q_0 ... q_L.
struct PublicKey {
    explicit PublicKey(ContextPtr context);
    const u64* limb(int polynomial, int i) const { return pair.limb(polynomial, i); }
    Seed seed{};
    Ciphertext pair;
};

// Switches a polynomial under some secret s' to the secret s. Digit d holds (b_d, a_d), b_d = -a_d s + e_d + P g_d s',
// where g_d is 1 modulo the limbs of digit d and 0 modulo every other; so a key also works at every lower level.
struct KeySwitchKey {
    KeySwitchKey(const Context& context, int level);
    // Slot 0 .. level: q limbs; then the special limbs. Each is one stream in the order in which kernels read it: chunk by
    // chunk, all digits of a chunk side by side (kernels.hpp).
    const u64* stream(int slot) const { return words.data() + static_cast<std::size_t>(slot) * slot_words(); }
    std::size_t stride() const { return static_cast<std::size_t>(digits) * kKeyWords; }
    std::size_t slot_words() const { return n / (2 * kChunkWords) * stride(); }
    // One digit's polynomial modulo one prime, n words. part 0: b, part 1: a.
    void write(int slot, int digit, int part, const u64* row);
    void read(int slot, int digit, int part, u64* row) const;

    std::size_t n;
    int level;
    int digits;
    Seed seed{};
    std::vector<std::uint32_t> permutation;  // of the automorphism; empty for relinearisation
    Buffer words;
};

struct EvaluationKeys {
    ContextPtr context;
    std::map<int, KeySwitchKey> rotations;  // by step in 1 .. slots - 1
    std::optional<KeySwitchKey> relinearization;
};

}  // namespace kakuri::ckks
