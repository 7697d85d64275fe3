// Purpose: X -> X^g on polynomials in NTT form, as a permutation of positions.
// Guarantees: result[j] = a[permutation[j]]. For g = 1 mod 4 (every rotation) aligned groups of four positions map to
//   aligned groups of four, and the order inside a group follows from its first entry: kernels use this to permute in
//   registers.
#pragma once

#include <cstdint>
#include <vector>

#include "modular.hpp"

namespace kakuri::ckks {

// Any step; negative steps and steps beyond the slots wrap around. In [0, slots).
int normalised_step(long long step, int log_n);
// 5^step mod 2N
u64 galois_element(int step, int log_n);
std::vector<std::uint32_t> automorphism_permutation(u64 galois, int log_n);

}  // namespace kakuri::ckks
