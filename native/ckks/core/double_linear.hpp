// Purpose: the loops of linear transforms (kernels.hpp says what they compute) in double precision over a vector type V.
//   Packed words are doubles within 1/2.
#pragma once

#include "double_field.hpp"

namespace kakuri::ckks::lanes {

// Products of canonical residues are within 3/4; this many, a reduced sum, a weighted addend and a canonical residue stay
// below 2^53.
inline constexpr std::size_t kProductsPerReduction = 8;

// How far ahead memory is asked for: words of the key, and chunks of the digits.
inline constexpr std::size_t kKeyWordsAhead = 512;
inline constexpr std::size_t kChunksAhead = 2;
inline constexpr std::size_t kLineWords = 8;

template <class V>
struct Pair {
    typename V::Doubles r0;
    typename V::Doubles r1;
};

// The rotated pair at vectors of positions, within 7.2.
template <class V, bool kPermuted>
class Rotated {
public:
    Rotated(const Field<V>& field, const RotationTerms& rotation, u64 prime)
        : field_(field), rotation_(rotation), weight_(Multiplier<V>::of(rotation.weight, prime)) {}

    // use(position, sum) for every vector of chunk c.
    template <class Use>
    void chunk(std::size_t c, std::size_t n, Use use) const {
        const u64* key = rotation_.key + c * rotation_.key_stride;
        const std::size_t near = c * kChunkWords, far = n - kChunkWords - near;
        ask_ahead(key, near, n);
        for (std::size_t k = 0; k < kChunkWords; k += V::kLanes) {
            use(near + k, at(key + k, near + k));
            use(far + k, at(key + 2 * kChunkWords + k, far + k));
        }
    }

private:
    // The key is one stream; the digits are read in an order that no processor guesses.
    void ask_ahead(const u64* key, std::size_t near, std::size_t n) const {
        for (std::size_t i = 0; i < rotation_.count * kKeyWords; i += kLineWords)
            __builtin_prefetch(key + kKeyWordsAhead + i, 0, 2);
        if constexpr (kPermuted) {
            const std::size_t next = std::min(near + kChunksAhead * kChunkWords, n - kChunkWords);
            const std::size_t of_near = rotation_.permutation[next];
            const std::size_t of_far = rotation_.permutation[n - kChunkWords - next];
            for (std::size_t d = 0; d < rotation_.count; ++d) {
                __builtin_prefetch(rotation_.digits[d] + of_near);
                __builtin_prefetch(rotation_.digits[d] + of_far);
            }
        }
    }
    // key: of the first digit at the positions from j on
    Pair<V> at(const u64* key, std::size_t j) const {
        Pair<V> sum{V::broadcast(0), V::broadcast(0)};
        for (std::size_t d = 0; d < rotation_.count; ++d, key += kKeyWords) {
            const typename V::Doubles x = moved(rotation_.digits[d], j);
            sum.r0 = sum.r0 + field_.multiply(x, residues<V>(key));
            sum.r1 = sum.r1 + field_.multiply(x, residues<V>(key + kChunkWords));
            if (d % kProductsPerReduction == kProductsPerReduction - 1)
                sum = {field_.reduce(sum.r0), field_.reduce(sum.r1)};
        }
        if (rotation_.addend0 != nullptr) sum.r0 = sum.r0 + field_.multiply(moved(rotation_.addend0, j), weight_);
        if (rotation_.addend1 != nullptr) sum.r1 = sum.r1 + field_.multiply(moved(rotation_.addend1, j), weight_);
        return sum;
    }
    typename V::Doubles moved(const u64* a, std::size_t j) const {
        if constexpr (kPermuted) return V::from_words(V::permuted(a, rotation_.permutation + j));
        return residues<V>(a + j);
    }
    const Field<V>& field_;
    const RotationTerms& rotation_;
    Multiplier<V> weight_;
};

// use(rotated) with the variant that the rotation calls for.
template <class V, class Use>
void with_rotation(const Field<V>& f, const Modulus& m, const RotationTerms& rotation, Use use) {
    if (rotation.permutation != nullptr)
        use(Rotated<V, true>(f, rotation, m.q));
    else
        use(Rotated<V, false>(f, rotation, m.q));
}

template <class V>
void rotate(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    const Field<V> f(m.q);
    with_rotation<V>(f, m, rotation, [&](const auto& rotated) {
        for (std::size_t c = range.first; c < range.first + range.count; ++c) {
            rotated.chunk(c, range.n, [&](std::size_t j, Pair<V> sum) {
                V::store_words(r0 + j, f.canonical(sum.r0));
                V::store_words(r1 + j, f.canonical(sum.r1));
            });
        }
    });
}

template <class V>
void add_rotation(const Modulus& m, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange range) {
    const Field<V> f(m.q);
    with_rotation<V>(f, m, rotation, [&](const auto& rotated) {
        for (std::size_t c = range.first; c < range.first + range.count; ++c) {
            rotated.chunk(c, range.n, [&](std::size_t j, Pair<V> sum) {
                V::store_words(r0 + j, f.canonical(sum.r0 + residues<V>(r0 + j)));
                V::store_words(r1 + j, f.canonical(sum.r1 + residues<V>(r1 + j)));
            });
        }
    });
}

template <class V>
void pack_rotation(const Modulus& m, u64* packed, std::size_t stride, const RotationTerms& rotation, ChunkRange range) {
    const Field<V> f(m.q);
    with_rotation<V>(f, m, rotation, [&](const auto& rotated) {
        for (std::size_t c = range.first; c < range.first + range.count; ++c, packed += stride) {
            rotated.chunk(c, range.n, [&](std::size_t j, Pair<V> sum) {
                const std::size_t k = j % kChunkWords;
                if (j < range.n / 2) {
                    V::store(packed + k, f.reduce(sum.r0));
                    V::store(packed + kChunkWords + k, f.reduce(sum.r1));
                } else {
                    u64* mirrored = packed + 2 * kChunkWords + (kChunkWords - V::kLanes - k);
                    V::store(mirrored, V::reversed(f.reduce(sum.r0)));
                    V::store(mirrored + kChunkWords, V::reversed(f.reduce(sum.r1)));
                }
            });
        }
    });
}

// One vector of positions of one group: near and far, both polynomials.
template <class V, bool kSymmetric>
class GroupSums {
public:
    static constexpr std::size_t kTermWords = kSymmetric ? kChunkWords : 2 * kChunkWords;

    explicit GroupSums(const Modulus& m) : field_(m.q), sums_(m) {}

    void store(const DiagonalGroup& group, const u64* packed, const u64* diagonals, std::size_t j,
               std::size_t n) const {
        typename V::Doubles total[4];
        for (auto& part : total) part = V::broadcast(0);
        for (std::size_t first = 0; first < group.terms; first += sums_.terms())
            add(group, packed, diagonals, first, std::min(sums_.terms(), group.terms - first), total);
        V::store_words(group.r0 + j, field_.canonical_small(total[0]));
        V::store_words(group.r1 + j, field_.canonical_small(total[1]));
        V::store_words(group.r0 + (n - V::kLanes - j), V::reversed(field_.canonical_small(total[2])));
        V::store_words(group.r1 + (n - V::kLanes - j), V::reversed(field_.canonical_small(total[3])));
    }

private:
    void add(const DiagonalGroup& group, const u64* packed, const u64* diagonals, std::size_t first, std::size_t count,
             typename V::Doubles* total) const {
        ProductSum<V> near0 = sums_.start(), near1 = near0, far0 = near0, far1 = near0;
        for (std::size_t t = first; t < first + count; ++t) {
            const typename V::Doubles near = residues<V>(diagonals + t * kTermWords);
            const typename V::Doubles far =
                kSymmetric ? near : residues<V>(diagonals + t * kTermWords + kChunkWords);
            const u64* x = packed + group.rotations[t] * kPackedWords;
            near0.add_product(V::load(x), near);
            near1.add_product(V::load(x + kChunkWords), near);
            far0.add_product(V::load(x + 2 * kChunkWords), far);
            far1.add_product(V::load(x + 3 * kChunkWords), far);
        }
        const ProductSum<V>* sums[] = {&near0, &near1, &far0, &far1};
        for (std::size_t i = 0; i < 4; ++i) total[i] = field_.reduce(total[i] + sums_.residue(*sums[i]));
    }
    Field<V> field_;
    ProductSums<V> sums_;
};

template <class V, bool kSymmetric>
void diagonal_sums_with(const Modulus& m, const DiagonalGroup* groups, std::size_t group_count, const u64* packed,
                        std::size_t stride, const u64* diagonals, std::size_t diagonal_stride, ChunkRange range) {
    const GroupSums<V, kSymmetric> sums(m);
    for (std::size_t c = range.first; c < range.first + range.count; ++c) {
        const u64* diagonal = diagonals;
        for (std::size_t g = 0; g < group_count; ++g) {
            for (std::size_t k = 0; k < kChunkWords; k += V::kLanes)
                sums.store(groups[g], packed + k, diagonal + k, c * kChunkWords + k, range.n);
            diagonal += groups[g].terms * GroupSums<V, kSymmetric>::kTermWords;
        }
        packed += stride;
        diagonals += diagonal_stride;
    }
}

template <class V>
void diagonal_sums(const Modulus& m, const DiagonalGroup* groups, std::size_t group_count, const u64* packed,
                   std::size_t stride, const u64* diagonals, std::size_t diagonal_stride, bool symmetric,
                   ChunkRange range) {
    if (symmetric)
        diagonal_sums_with<V, true>(m, groups, group_count, packed, stride, diagonals, diagonal_stride, range);
    else
        diagonal_sums_with<V, false>(m, groups, group_count, packed, stride, diagonals, diagonal_stride, range);
}

}  // namespace kakuri::ckks::lanes
