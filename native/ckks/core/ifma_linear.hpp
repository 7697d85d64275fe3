// Purpose: the loops of linear transforms (kernels.hpp says what they compute) on eight 52-bit words at a time. Packed words
//   are canonical residues.
#pragma once

#include "ifma_sum.hpp"

namespace kakuri::ckks::ifma {

static_assert(kWidth == kChunkWords);

template <class V>
struct SumPair {
    Sum<V> r0;
    Sum<V> r1;
};

// At most 64 terms and an addend, at the positions from j on. key: those of the first digit.
template <class V>
SumPair<V> rotated(const RotationTerms& rotation, V weight, const u64* key, std::size_t j) {
    const auto moved = [&](const u64* a) {
        return rotation.permutation != nullptr ? V::gather(a, rotation.permutation + j) : V::load(a + j);
    };
    SumPair<V> sum;
    for (std::size_t d = 0; d < rotation.count; ++d, key += kKeyWords) {
        const V x = moved(rotation.digits[d]);
        sum.r0.add_product(x, V::load(key));
        sum.r1.add_product(x, V::load(key + kChunkWords));
    }
    if (rotation.addend0 != nullptr) sum.r0.add_product(moved(rotation.addend0), weight);
    if (rotation.addend1 != nullptr) sum.r1.add_product(moved(rotation.addend1), weight);
    return sum;
}

template <class V, bool kAdd>
void rotate_into(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    const Reduction<V> reduce(m);
    const V weight = V::broadcast(rotation.weight);
    const auto finish = [&](SumPair<V> sum, std::size_t j) {
        if (kAdd) {
            sum.r0.low = sum.r0.low + V::load(r0 + j);
            sum.r1.low = sum.r1.low + V::load(r1 + j);
        }
        reduce(sum.r0).store(r0 + j);
        reduce(sum.r1).store(r1 + j);
    };
    for (std::size_t c = range.first; c < range.first + range.count; ++c) {
        const u64* key = rotation.key + c * rotation.key_stride;
        const std::size_t near = c * kChunkWords, far = range.n - kWidth - near;
        finish(rotated(rotation, weight, key, near), near);
        finish(rotated(rotation, weight, key + 2 * kChunkWords, far), far);
    }
}

template <class V>
void rotate(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    rotate_into<V, false>(m, r0, r1, rotation, range);
}

template <class V>
void add_rotation(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    rotate_into<V, true>(m, r0, r1, rotation, range);
}

template <class V>
void pack_rotation(const Modulus& m, u64* packed, std::size_t stride, const RotationTerms& rotation, ChunkRange range) {
    const Reduction<V> reduce(m);
    const V weight = V::broadcast(rotation.weight);
    for (std::size_t c = range.first; c < range.first + range.count; ++c, packed += stride) {
        const std::size_t j = c * kChunkWords;
        const u64* key = rotation.key + c * rotation.key_stride;
        const SumPair<V> near = rotated(rotation, weight, key, j);
        const SumPair<V> far = rotated(rotation, weight, key + 2 * kChunkWords, range.n - kWidth - j);
        reduce(near.r0).store(packed);
        reduce(near.r1).store(packed + kChunkWords);
        V::reversed(reduce(far.r0)).store(packed + 2 * kChunkWords);
        V::reversed(reduce(far.r1)).store(packed + 3 * kChunkWords);
    }
}

// One chunk of one group; diagonals of `words` words per term, the last kChunkWords of them for the mirrored positions.
template <class V>
void sum_group(const Reduction<V>& reduce, const DiagonalGroup& group, const u64* packed, const u64* diagonals,
               std::size_t words, std::size_t j, std::size_t n) {
    Sum<V> sums[4];
    for (std::size_t first = 0; first < group.terms; first += kTermsAtOnce) {
        const std::size_t end = std::min(group.terms, first + kTermsAtOnce);
        for (std::size_t t = first; t < end; ++t) {
            const V near = V::load(diagonals + t * words);
            const V far = V::load(diagonals + (t + 1) * words - kChunkWords);
            const u64* x = packed + group.rotations[t] * kPackedWords;
            sums[0].add_product(V::load(x), near);
            sums[1].add_product(V::load(x + kChunkWords), near);
            sums[2].add_product(V::load(x + 2 * kChunkWords), far);
            sums[3].add_product(V::load(x + 3 * kChunkWords), far);
        }
        if (end < group.terms)
            for (Sum<V>& sum : sums) sum = {reduce(sum), V::broadcast(0)};
    }
    reduce(sums[0]).store(group.r0 + j);
    reduce(sums[1]).store(group.r1 + j);
    V::reversed(reduce(sums[2])).store(group.r0 + (n - kWidth - j));
    V::reversed(reduce(sums[3])).store(group.r1 + (n - kWidth - j));
}

template <class V>
void diagonal_sums(const Modulus& m, const DiagonalGroup* groups, std::size_t group_count, const u64* packed,
                   std::size_t stride, const u64* diagonals, std::size_t diagonal_stride, bool symmetric,
                   ChunkRange range) {
    const Reduction<V> reduce(m);
    const std::size_t words = symmetric ? kChunkWords : 2 * kChunkWords;
    for (std::size_t c = range.first; c < range.first + range.count; ++c) {
        const u64* diagonal = diagonals;
        for (std::size_t g = 0; g < group_count; ++g) {
            sum_group<V>(reduce, groups[g], packed, diagonal, words, c * kChunkWords, range.n);
            diagonal += groups[g].terms * words;
        }
        packed += stride;
        diagonals += diagonal_stride;
    }
}

}  // namespace kakuri::ckks::ifma
