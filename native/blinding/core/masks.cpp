#include "masks.hpp"

#include <cmath>
#include <utility>

namespace kakuri::blinding {

namespace {

void draw_permutation(std::span<const std::uint64_t> words, std::int32_t* index) {
    for (std::size_t i = 0; i < words.size(); ++i) index[i] = static_cast<std::int32_t>(i);
    for (std::size_t i = words.size(); i > 1; --i) {
        const auto product = static_cast<unsigned __int128>(words[i - 1] >> 1) * (2 * i);
        std::swap(index[i - 1], index[static_cast<std::size_t>(product >> 64)]);
    }
}

double sign_of(std::uint64_t word) { return (word & 1) != 0 ? -1.0 : 1.0; }

}  // namespace

Mixing::Mixing(std::span<const std::uint64_t> words) : index_(words.size()) {
    const std::size_t size = words.size() / kRounds;
    single_.reserve(words.size());
    wide_.reserve(words.size());
    for (std::size_t r = 0; r < kRounds; ++r) {
        const auto own = words.subspan(r * size, size);
        draw_permutation(own, index_.data() + r * size);
        std::size_t at = 0;
        for (std::size_t block = kBlock; block > 0; block /= 2)
            for (; at + block <= size; at += block)
                for (std::size_t i = 0; i < block; ++i) {
                    const double factor = sign_of(own[at + i]) / std::sqrt(static_cast<double>(block));
                    wide_.push_back(factor);
                    single_.push_back(static_cast<float>(factor));
                }
    }
}

Reordering::Reordering(std::span<const std::uint64_t> words, std::span<const double> factors) {
    const std::size_t size = words.size();
    index_[0].resize(size);
    index_[1].resize(size);
    draw_permutation(words, index_[0].data());
    for (std::size_t i = 0; i < size; ++i)
        index_[1][static_cast<std::size_t>(index_[0][i])] = static_cast<std::int32_t>(i);
    for (const bool inverse : {false, true})
        for (std::size_t i = 0; i < size; ++i) {
            const std::size_t at = inverse ? static_cast<std::size_t>(index_[1][i]) : i;
            const double factor = factors.empty() ? sign_of(words[at]) : factors[at];
            factors_[inverse][0].push_back(factor);
            factors_[inverse][1].push_back(1.0 / factor);
        }
}

}  // namespace kakuri::blinding
