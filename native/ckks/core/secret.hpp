// Purpose: everything that touches a secret: sampling, key generation, encryption, decryption. Review this file and
//   its .cpp.
// Guarantees: no branch, address or division in these functions depends on the secret key, on noise, or on the random
//   stream they come from (checked under valgrind with those bytes marked undefined, tests/constant_time.cpp); the
//   secret is uniform ternary, noise has sigma 3.19; secret memory is wiped when freed; randomness is a fresh
//   getrandom(2) seed per call, expanded by the host's stream cipher; decrypted values are rounded before they are
//   returned (Li and Micciancio, "On the security of homomorphic encryption on approximate numbers", 2021: unrounded
//   ones reveal the key).
// Does not guarantee: protection against power or fault attacks, or against a reader of this process's memory or
//   swap; constant time in the message once it is decrypted (rounding, flooding and the caller see it in the clear).
#pragma once

#include <map>

#include "serialize.hpp"

namespace kakuri::ckks {

// A byte stream from the operating system, expanded; wiped after use.
class SecretStream {
public:
    explicit SecretStream(const Host& host);
    ~SecretStream();
    SecretStream(const SecretStream&) = delete;
    SecretStream& operator=(const SecretStream&) = delete;
    // words.size() is a multiple of 8.
    void fill(SecretArray<u64>& words);

private:
    const Host& host_;
    Seed seed_;
    std::uint64_t stream_ = 0;
};

// One uniform word each: 0, 1 or 2 with probability 1/3 up to 2^-64, by multiply-high.
void ternary_from_words(SecretArray<u64>& words);
// One uniform word each: discrete Gaussian, sigma 3.19, cut at |x| <= 20 (6.27 sigma; the tail left out has probability
// 2^-33), by comparison with all 20 thresholds. Two's complement results.
void gaussian_from_words(SecretArray<u64>& words);

class SecretKey {
public:
    static SecretKey generate(ContextPtr context);
    static SecretKey parse(const ContextPtr& context, ByteSpan data);  // throws KK-F..
    Bytes bytes() const;

    const ContextPtr& context() const { return context_; }
    PublicKey public_key() const;
    // rotations: step -> highest level; step 0 needs no key and is passed over. relinearization_level < 0: none.
    EvaluationKeys evaluation_keys(const std::map<long long, int>& rotations, int relinearization_level) const;
    Ciphertext encrypt(const Plaintext& plaintext) const;
    // Slots rounded to multiples of 2^-precision_bits; flooding_bits < 0: none.
    std::vector<double> decrypt(const Ciphertext& ciphertext, double precision_bits, double flooding_bits) const;
    // The same before rounding and flooding, as coefficients times the scale. For decrypt and its constant-time test
    // alone.
    std::vector<long double> decrypted_coefficients(const Ciphertext& ciphertext) const;

private:
    explicit SecretKey(ContextPtr context);
    void expand();  // ternary_ -> ntt_
    const u64* limb(int prime) const { return ntt_.data() + static_cast<std::size_t>(prime) * context_->n(); }
    KeySwitchKey key_switch_key(int level, u64 galois, SecretStream& stream) const;

    ContextPtr context_;
    SecretArray<u64> ternary_;  // 0, 1, or 2 for -1
    SecretArray<u64> ntt_;      // modulo every prime
};

// Under a public key.
Ciphertext encrypt(const PublicKey& key, const Plaintext& plaintext);

}  // namespace kakuri::ckks
