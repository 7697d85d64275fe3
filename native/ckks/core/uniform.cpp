#include "uniform.hpp"

#include <vector>

namespace kakuri::ckks {

void expand_uniform(const Context& context, const Seed& seed, int polynomial, int prime, u64* out) {
    const u64 q = context.modulus(prime).q;
    const u64 mask = (u64{1} << context.modulus(prime).bits) - 1;
    const StreamId id{(static_cast<std::uint64_t>(polynomial) << 16) + static_cast<std::uint64_t>(prime),
                      kUniformDomain};
    const std::size_t n = context.n();

    // The first n words come into the output itself and are sifted there; then as many as what is missing calls for, and a
    // margin.
    std::uint32_t block = 0;
    std::size_t filled = 0;
    const auto sift = [&](u64* words, std::size_t count) {
        context.host().expand(seed, id, block, {reinterpret_cast<std::uint8_t*>(words), count * sizeof(u64)});
        block += static_cast<std::uint32_t>(count / 8);
        for (std::size_t i = 0; i < count && filled < n; ++i) {
            const u64 candidate = words[i] & mask;
            out[filled] = candidate;
            filled += candidate < q ? 1 : 0;
        }
    };
    sift(out, n);
    const double tries = static_cast<double>(mask) / static_cast<double>(q);
    std::vector<u64> words;
    while (filled < n) {
        words.resize((static_cast<std::size_t>(static_cast<double>(n - filled) * tries * 1.02) + 64) / 8 * 8);
        sift(words.data(), words.size());
    }
}

}  // namespace kakuri::ckks
