// Purpose: constants that carry residues from a few source primes to every other prime of the parameters.
// Guarantees: sources hold y_i = x (D/q_i)^-1 mod q_i, D their product. Each y_i is centred before it is carried
//   over, so the result is x + u D with |u| <= (number of sources)/2, and exactly the centred x for a single source.
// Source: Halevi, Polyakov and Shoup, eprint 2018/117, section 2.2 (conversion without the exact correction); Cheon
//   et al., "A full RNS variant of approximate homomorphic encryption", 2018, algorithm 1.
#pragma once

#include <vector>

#include "kernels.hpp"

namespace kakuri::ckks {

inline constexpr std::size_t kMaxSources = 64;  // parameters have no more primes

class BaseConversion {
public:
    // sources, targets: indices into moduli. Targets that are also sources are left out.
    BaseConversion(const std::vector<Modulus>& moduli, std::vector<int> sources);

    const std::vector<int>& sources() const { return sources_; }
    // (D/q_i)^-1 mod q_i for the i-th source: the factor of its inverse transform.
    u64 inverse_cofactor(std::size_t i) const { return inverse_cofactors_[i]; }
    // D^-1 modulo prime number target.
    Factor inverse_product(int target) const { return inverse_products_[static_cast<std::size_t>(target)]; }
    u64 product(int target) const { return products_[static_cast<std::size_t>(target)]; }

    // r = the carried residues modulo prime number target; y[i] is the i-th source.
    void convert(const Kernels& kernels, const Modulus& target_modulus, int target, const u64* const* y, u64* r,
                 std::size_t n) const;

private:
    std::vector<int> sources_;
    std::vector<u64> source_primes_;
    std::vector<u64> inverse_cofactors_;
    std::vector<std::vector<Factor>> weights_;  // [target][source]: (D/q_i) mod target
    std::vector<u64> constants_;                // [target]: minus the shifts' image
    std::vector<u64> products_;                 // [target]: D
    std::vector<Factor> inverse_products_;      // [target]: 1/D
};

}  // namespace kakuri::ckks
