#include "base_convert.hpp"

#include <algorithm>

namespace kakuri::ckks {

namespace {

u64 shift_of(u64 prime) { return (prime - 1) / 2; }

// Product of the source primes but one, modulo m; skip = -1 for all of them.
u64 product_without(const std::vector<Modulus>& moduli, const std::vector<int>& sources, int skip, const Modulus& m) {
    u64 product = 1;
    for (int s : sources)
        if (s != skip) product = m.multiply(product, m.reduce(moduli[static_cast<std::size_t>(s)].q));
    return product;
}

}  // namespace

BaseConversion::BaseConversion(const std::vector<Modulus>& moduli, std::vector<int> sources)
    : sources_(std::move(sources)),
      weights_(moduli.size()),
      constants_(moduli.size()),
      products_(moduli.size()),
      inverse_products_(moduli.size()) {
    for (int s : sources_) {
        const Modulus& m = moduli[static_cast<std::size_t>(s)];
        source_primes_.push_back(m.q);
        inverse_cofactors_.push_back(m.inverse(product_without(moduli, sources_, s, m)));
    }
    for (std::size_t t = 0; t < moduli.size(); ++t) {
        if (std::find(sources_.begin(), sources_.end(), static_cast<int>(t)) != sources_.end()) continue;
        const Modulus& m = moduli[t];
        u64 shifts = 0;
        for (std::size_t i = 0; i < sources_.size(); ++i) {
            const u64 weight = product_without(moduli, sources_, sources_[i], m);
            weights_[t].emplace_back(weight, m.q);
            shifts = m.add(shifts, m.multiply(m.reduce(shift_of(source_primes_[i])), weight));
        }
        constants_[t] = m.negate(shifts);
        products_[t] = product_without(moduli, sources_, -1, m);
        inverse_products_[t] = Factor(m.inverse(products_[t]), m.q);
    }
}

void BaseConversion::convert(const Kernels& kernels, const Modulus& target_modulus, int target, const u64* const* y,
                             u64* r, std::size_t n) const {
    const std::vector<Factor>& weights = weights_[static_cast<std::size_t>(target)];
    ConvertTerm terms[kMaxSources];
    for (std::size_t i = 0; i < sources_.size(); ++i) terms[i] = {y[i], source_primes_[i], weights[i]};
    kernels.convert(target_modulus, r, terms, sources_.size(), constants_[static_cast<std::size_t>(target)], n);
}

}  // namespace kakuri::ckks
