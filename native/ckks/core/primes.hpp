// Purpose: primes for number-theoretic transforms and their roots of unity.
// Guarantees: is_prime is exact for every 64-bit input below 2^50; roots are the smallest of their order, as in SEAL.
#pragma once

#include <span>
#include <vector>

#include "modular.hpp"
#include "ring.hpp"

namespace kakuri::ckks {

bool is_prime(u64 candidate);

// Distinct primes, 1 modulo the ring's order and below 2^50, each the largest unused one below 2^bits[i] or, where that is more
// than a thousandth away, the unused one nearest to it (the smaller when two are as near). Throws KK-N01 or KK-N02.
std::vector<u64> ntt_primes(Ring ring, std::span<const int> bits);

// The smallest primitive root of unity of order 2^log_order modulo q. Requires q prime, 1 modulo that order.
u64 smallest_primitive_root(const Modulus& modulus, int log_order);

}  // namespace kakuri::ckks
