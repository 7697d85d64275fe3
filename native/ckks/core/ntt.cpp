#include "ntt.hpp"

#include "primes.hpp"

namespace kakuri::ckks {

NttTables::NttTables(Ring ring, u64 prime)
    : ring_(ring), modulus_(prime), root_(smallest_primitive_root(modulus_, ring.log_order())) {
    inverse_n_ = Factor(modulus_.inverse(u64{1} << ring.log_n), prime);
    unit_ = modulus_.power(root_, n());
    std::vector<u64> power(ring.order());
    power[0] = 1;
    for (std::size_t i = 1; i < power.size(); ++i) power[i] = modulus_.multiply(power[i - 1], root_);
    powers_.resize(n());
    inverse_powers_.resize(n());
    // exponent[k]: w^2 = psi^exponent at node k.
    std::vector<u64> exponent(2 * n());
    exponent[1] = n();
    for (std::size_t k = 1; k < n(); ++k) {
        const u64 half = exponent[k] / 2;
        powers_[k] = Factor(power[half], prime);
        inverse_powers_[k] = Factor(power[ring.order() - half], prime);
        exponent[2 * k] = half;
        exponent[2 * k + 1] = half + ring.order() / 2;
    }
}

}  // namespace kakuri::ckks
