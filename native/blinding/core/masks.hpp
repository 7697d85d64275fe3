// Purpose: permutations, signs and scales drawn from secret random words.
// Guarantees: uniform up to a bias below size^2 / 2^62; the sign comes from the lowest bit of a word, the place from the
//   others.
// Does not guarantee: constant-time drawing or use; memory is touched in a secret order.
// Source: Fisher and Yates; Lemire 2019 (a word times the bound, upper half).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels.hpp"

namespace kakuri::blinding {

inline constexpr std::size_t kMostCoordinates = std::size_t{1} << 30;

class Mixing {
public:
    // words: 2 * size.
    explicit Mixing(std::span<const std::uint64_t> words);
    std::size_t size() const { return index_.size() / kRounds; }

    template <typename T>
    MixingView<T> view() const {
        const T* factors = nullptr;
        if constexpr (sizeof(T) == sizeof(float))
            factors = single_.data();
        else
            factors = wide_.data();
        return {size(), {index_.data(), index_.data() + size()}, {factors, factors + size()}};
    }

private:
    std::vector<std::int32_t> index_;
    std::vector<float> single_;
    std::vector<double> wide_;
};

// A permutation with factors, its inverse, and both with reciprocal factors (the dual).
class Reordering {
public:
    // words: size. factors: size, or none for the words' signs.
    Reordering(std::span<const std::uint64_t> words, std::span<const double> factors);
    std::size_t size() const { return index_[0].size(); }

    template <typename T>
    ReorderingView<T> view(bool inverse, bool dual) const {
        const Factors& found = factors_[inverse][dual != inverse];
        const T* factors = nullptr;
        if constexpr (sizeof(T) == sizeof(float))
            factors = found.single.data();
        else
            factors = found.wide.data();
        return {size(), index_[inverse].data(), factors};
    }

private:
    struct Factors {
        std::vector<float> single;
        std::vector<double> wide;
        void push_back(double value) {
            single.push_back(static_cast<float>(value));
            wide.push_back(value);
        }
    };
    std::vector<std::int32_t> index_[2];  // forward, inverse
    Factors factors_[2][2];               // in the order of each index; as they are, reciprocal
};

}  // namespace kakuri::blinding
