// Purpose: the largest log2(Q P) that keeps 128 bits of classical security with a uniform ternary secret.
// Guarantees: the stricter of two published tables at every ring size.
// Does not guarantee: anything about other secret distributions, error widths or quantum adversaries.
// Source: Albrecht et al., "Homomorphic Encryption Standard", 2018, table 1 (ternary secret, classical, 128 bits;
//   ends at N = 32768); Bossuat et al., "Security Guidelines for Implementing Homomorphic Encryption", eprint 2024/463,
//   table 5.2 (ternary secret, sigma = 3.19).
#pragma once

namespace kakuri::ckks {

inline constexpr int kSecurityBits = 128;

// In bits; 0 for rings too small for any secure modulus.
double max_log_qp(int log_n);

}  // namespace kakuri::ckks
