#include "linear_scalar.hpp"

namespace kakuri::ckks::scalar {

namespace {

struct Pair {
    u128 r0 = 0;
    u128 r1 = 0;
};

// At most 64 products below 2^100.
Pair rotated(const RotationTerms& rotation, std::size_t j, std::size_t n) {
    const u64* key = rotation.key + chunk_of(j, n) * rotation.key_stride;
    const std::size_t from = rotation.permutation != nullptr ? rotation.permutation[j] : j;
    Pair sum;
    for (std::size_t d = 0; d < rotation.count; ++d, key += kKeyWords) {
        sum.r0 += static_cast<u128>(rotation.digits[d][from]) * key[key_word(0, j, n)];
        sum.r1 += static_cast<u128>(rotation.digits[d][from]) * key[key_word(1, j, n)];
    }
    if (rotation.addend0 != nullptr) sum.r0 += static_cast<u128>(rotation.addend0[from]) * rotation.weight;
    if (rotation.addend1 != nullptr) sum.r1 += static_cast<u128>(rotation.addend1[from]) * rotation.weight;
    return sum;
}

template <class Use>
void for_positions(ChunkRange range, Use use) {
    for (std::size_t start : {range.near(), range.far()})
        for (std::size_t j = start; j < start + range.words(); ++j) use(j);
}

}  // namespace

void rotate(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    for_positions(range, [&](std::size_t j) {
        const Pair sum = rotated(rotation, j, range.n);
        r0[j] = m.reduce(sum.r0);
        r1[j] = m.reduce(sum.r1);
    });
}

void add_rotation(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    for_positions(range, [&](std::size_t j) {
        const Pair sum = rotated(rotation, j, range.n);
        r0[j] = m.reduce(sum.r0 + r0[j]);
        r1[j] = m.reduce(sum.r1 + r1[j]);
    });
}

void pack_rotation(const Modulus& m, u64* packed, std::size_t stride, const RotationTerms& rotation, ChunkRange range) {
    for (std::size_t c = 0; c < range.count; ++c, packed += stride) {
        for (std::size_t k = 0; k < kChunkWords; ++k) {
            const std::size_t j = (range.first + c) * kChunkWords + k;
            const Pair near = rotated(rotation, j, range.n);
            const Pair far = rotated(rotation, range.n - 1 - j, range.n);
            packed[k] = m.reduce(near.r0);
            packed[kChunkWords + k] = m.reduce(near.r1);
            packed[2 * kChunkWords + k] = m.reduce(far.r0);
            packed[3 * kChunkWords + k] = m.reduce(far.r1);
        }
    }
}

void diagonal_sums(const Modulus& m, const DiagonalGroup* groups, std::size_t group_count, const u64* packed,
                   std::size_t stride, const u64* diagonals, std::size_t diagonal_stride, bool symmetric,
                   ChunkRange range) {
    const std::size_t words = symmetric ? kChunkWords : 2 * kChunkWords;  // per term
    for (std::size_t c = 0; c < range.count; ++c, packed += stride, diagonals += diagonal_stride) {
        const u64* diagonal = diagonals;
        for (std::size_t g = 0; g < group_count; ++g) {
            const DiagonalGroup& group = groups[g];
            u128 sums[kPackedWords] = {};  // of at most 2^26 products (diagonals.cpp)
            for (std::size_t t = 0; t < group.terms; ++t, diagonal += words) {
                const u64* x = packed + group.rotations[t] * kPackedWords;
                const u64* far = diagonal + words - kChunkWords;
                for (std::size_t k = 0; k < kChunkWords; ++k) {
                    sums[k] += static_cast<u128>(x[k]) * diagonal[k];
                    sums[kChunkWords + k] += static_cast<u128>(x[kChunkWords + k]) * diagonal[k];
                    sums[2 * kChunkWords + k] += static_cast<u128>(x[2 * kChunkWords + k]) * far[k];
                    sums[3 * kChunkWords + k] += static_cast<u128>(x[3 * kChunkWords + k]) * far[k];
                }
            }
            for (std::size_t k = 0; k < kChunkWords; ++k) {
                const std::size_t j = (range.first + c) * kChunkWords + k;
                group.r0[j] = m.reduce(sums[k]);
                group.r1[j] = m.reduce(sums[kChunkWords + k]);
                group.r0[range.n - 1 - j] = m.reduce(sums[2 * kChunkWords + k]);
                group.r1[range.n - 1 - j] = m.reduce(sums[3 * kChunkWords + k]);
            }
        }
    }
}

}  // namespace kakuri::ckks::scalar
