// Purpose: X -> X^g on polynomials in NTT form, as a permutation of positions.
// Guarantees: result[j] = a[permutation[j]]. For g = 1 mod 4 (every rotation) aligned groups of four positions map to
//   aligned groups of four, and the order inside a group follows from its first entry: kernels use this to permute in
//   registers.
#pragma once

#include <cstdint>
#include <vector>

#include "modular.hpp"
#include "ring.hpp"

namespace kakuri::ckks {

// Any step; negative steps and steps beyond the slots wrap around. In [0, slots).
int normalised_step(long long step, const Ring& ring);
// 5^step modulo the ring's order
u64 galois_element(int step, const Ring& ring);
std::vector<std::uint32_t> automorphism_permutation(u64 galois, const Ring& ring);

}  // namespace kakuri::ckks
