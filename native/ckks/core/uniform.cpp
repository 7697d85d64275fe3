#include "uniform.hpp"

#include <vector>

namespace kakuri::ckks {

void expand_uniform(const Context& context, const Seed& seed, int polynomial, int prime, u64* out) {
    const u64 q = context.modulus(prime).q;
    const u64 mask = (u64{1} << context.modulus(prime).bits) - 1;
    const StreamId id{(static_cast<std::uint64_t>(polynomial) << 16) + static_cast<std::uint64_t>(prime),
                      kUniformDomain};
    const std::size_t n = context.n();

    // Enough words for nearly every polynomial in one request: n times the mean number of tries, and a margin.
    const double tries = static_cast<double>(mask) / static_cast<double>(q);
    const std::size_t first = (static_cast<std::size_t>(static_cast<double>(n) * tries * 1.02) + 64) / 8 * 8;
    std::vector<u64> words(first);
    std::uint32_t block = 0;
    for (std::size_t filled = 0; filled < n; words.resize(64)) {
        context.host().expand(seed, id, block,
                              {reinterpret_cast<std::uint8_t*>(words.data()), words.size() * sizeof(u64)});
        block += static_cast<std::uint32_t>(words.size() / 8);
        for (std::size_t i = 0; i < words.size() && filled < n; ++i) {
            const u64 candidate = words[i] & mask;
            out[filled] = candidate;
            filled += candidate < q ? 1 : 0;
        }
    }
}

}  // namespace kakuri::ckks
