// Purpose: public uniform polynomials from a 32-byte seed, so that files store the seed instead.
// Guarantees: the layout below never changes within a format version, and depends on neither kernel path nor threads.
// Layout: polynomial p modulo prime number i (counted q_0 ... q_L, p_0 ... p_{k-1}) is stream 2^16 p + i of domain 0
//   (host.hpp), from block 0. The stream is read as little-endian 64-bit words; each word is masked to the bit length
//   of the prime and taken when it is below the prime, and the values taken are the residues at positions 0, 1, ... N-1
//   of the NTT form. p is the digit number for key-switching keys and 0 for ciphertexts and public keys.
#pragma once

#include "parameters.hpp"

namespace kakuri::ckks {

inline constexpr std::uint32_t kUniformDomain = 0;
inline constexpr std::uint32_t kSecretDomain = 1;

void expand_uniform(const Context& context, const Seed& seed, int polynomial, int prime, u64* out);

}  // namespace kakuri::ckks
