#include "ntt.hpp"

#include "primes.hpp"

namespace kakuri::ckks {

NttTables::NttTables(int log_n, u64 prime)
    : log_n_(log_n), modulus_(prime), root_(smallest_primitive_root(modulus_, log_n)) {
    const u64 inverse_root = modulus_.inverse(root_);
    inverse_n_ = Factor(modulus_.inverse(u64{1} << log_n), prime);
    powers_.resize(n());
    inverse_powers_.resize(n());
    u64 power = 1;
    u64 inverse_power = 1;
    for (std::size_t i = 0; i < n(); ++i) {
        const std::size_t at = reverse_bits(i, log_n);
        powers_[at] = Factor(power, prime);
        inverse_powers_[at] = Factor(inverse_power, prime);
        power = modulus_.multiply(power, root_);
        inverse_power = modulus_.multiply(inverse_power, inverse_root);
    }
}

}  // namespace kakuri::ckks
