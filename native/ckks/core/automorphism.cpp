#include "automorphism.hpp"

#include "ntt.hpp"

namespace kakuri::ckks {

int normalised_step(long long step, const Ring& ring) {
    const long long slots = 1LL << ring.log_slots();
    return static_cast<int>(((step % slots) + slots) % slots);
}

u64 galois_element(int step, const Ring& ring) {
    const u64 mask = ring.order() - 1;
    u64 result = 1;
    u64 power = 5;
    for (int bits = step; bits != 0; bits >>= 1, power = power * power & mask)
        if (bits & 1) result = result * power & mask;
    return result;
}

std::vector<std::uint32_t> automorphism_permutation(u64 galois, const Ring& ring) {
    // Position j holds the value at psi^(step br(j) + 1).
    const std::size_t n = ring.n();
    std::vector<std::uint32_t> reversed(n);
    for (std::size_t i = 1; i < n; ++i)
        reversed[i] = static_cast<std::uint32_t>((reversed[i / 2] >> 1) | ((i & 1) << (ring.log_n - 1)));
    std::vector<std::uint32_t> permutation(n);
    for (std::size_t j = 0; j < n; ++j) {
        const u64 exponent = (galois * (ring.step() * reversed[j] + 1)) & (ring.order() - 1);
        permutation[j] = reversed[exponent / ring.step()];
    }
    return permutation;
}

}  // namespace kakuri::ckks
