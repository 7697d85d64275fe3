// Purpose: the inner loops of the kernel as one table of functions per instruction set.
// Guarantees: every path takes and gives canonical residues in [0, q) and the results are bit-identical. Arrays hold n
//   words, n a multiple of 16, 64-byte aligned; outputs may be the same array as an input where noted "in place".
// Does not guarantee: constant time for weighted_sum's weights (they are public).
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include "ntt.hpp"

namespace kakuri::ckks {

// r = sum_i centred(inputs_i) w_i mod q, where centred lies in [-(p - 1)/2, (p - 1)/2] for the input's own prime p.
struct ConvertTerm {
    const u64* input;
    u64 prime;
    Factor weight;
};

struct ProductTerm {
    const u64* a;
    const u64* b;
};

// One rotated polynomial pair in the extended basis, modulo one prime, at position j, with from = permutation[j]:
//   r_p[j] = sum_i digit_i[from] key_pi[j] + weight addend_p[from],  p = 0, 1.
// The key is one stream (key_word() below); chunk c of it starts at key + c key_stride. permutation may be null (no
// rotation), as may either addend; there may be no digits.
struct RotationTerms {
    const u64* const* digits;
    std::size_t count;
    const u64* key;
    std::size_t key_stride;
    const std::uint32_t* permutation;
    const u64* addend0;
    const u64* addend1;
    u64 weight;
};

// Linear transforms work on chunks: chunk c stands for the kChunkWords positions from kChunkWords c on and, in reversed
// order, for as many before N - kChunkWords c. In the standard ring a plaintext of real slots has the same values on both.
inline constexpr std::size_t kChunkWords = 8;
// A packed rotation is four vectors per chunk: r_0 and r_1, then both at the mirrored positions. The words are in a
// form of the path's own.
inline constexpr std::size_t kPackedWords = 4 * kChunkWords;

// A chunk of a key holds kKeyWords words for every digit: key_0, key_1, then both at the mirrored positions, the latter in
// ascending order. Where position j of polynomial p stands among them, and in which chunk:
inline constexpr std::size_t kKeyWords = 4 * kChunkWords;
inline std::size_t chunk_of(std::size_t j, std::size_t n) { return (j < n / 2 ? j : n - 1 - j) / kChunkWords; }
inline std::size_t key_word(std::size_t p, std::size_t j, std::size_t n) {
    return ((j < n / 2 ? 0 : 2) + p) * kChunkWords + j % kChunkWords;
}

// r_p = sum over the group's terms t of diagonal_t times the packed rotation number rotations[t].
struct DiagonalGroup {
    u64* r0;
    u64* r1;
    const std::uint32_t* rotations;
    std::size_t terms;
};

// Chunks first ... first + count - 1 of polynomials of n words.
struct ChunkRange {
    std::size_t first;
    std::size_t count;
    std::size_t n;

    static ChunkRange whole(std::size_t n) { return {0, n / (2 * kChunkWords), n}; }
    // The range's positions: words() from near() on, and as many from far() on.
    std::size_t words() const { return count * kChunkWords; }
    std::size_t near() const { return first * kChunkWords; }
    std::size_t far() const { return n - near() - words(); }
};

struct Kernels {
    const char* name;

    void (*forward)(const NttTables&, u64* x);              // in place
    void (*inverse)(const NttTables&, u64* x, u64 factor);  // in place; result times factor

    // (x_i, x_(n-i)) = (x_i + w x_(n-i), x_(n-i) + w x_i), 0 < i < n; x_0 stays. In place.
    void (*fold)(const Modulus&, u64* x, Factor w, std::size_t n);

    void (*add)(const Modulus&, u64* r, const u64* a, const u64* b, std::size_t n);          // in place
    void (*subtract)(const Modulus&, u64* r, const u64* a, const u64* b, std::size_t n);     // in place
    void (*negate)(const Modulus&, u64* r, const u64* a, std::size_t n);                     // in place
    void (*add_scalar)(const Modulus&, u64* r, const u64* a, u64 s, std::size_t n);          // in place
    void (*multiply)(const Modulus&, u64* r, const u64* a, const u64* b, std::size_t n);     // in place
    void (*multiply_scalar)(const Modulus&, u64* r, const u64* a, Factor w, std::size_t n);  // in place
    // r = (a - b) w
    void (*subtract_multiply)(const Modulus&, u64* r, const u64* a, const u64* b, Factor w, std::size_t n);  // in place
    // (r0, r1, r2) = (a0 b0, a0 b1 + a1 b0, a1 b1); not in place
    void (*tensor)(const Modulus&, u64* r0, u64* r1, u64* r2, const u64* a0, const u64* a1, const u64* b0,
                   const u64* b1, std::size_t n);
    // r[j] = a[permutation[j]]; not in place. Permutations are those of rotations (automorphism.hpp), here and below.
    void (*permute)(u64* r, const u64* a, const std::uint32_t* permutation, std::size_t n);

    // constant = -sum_i (p_i - 1)/2 w_i: what unsigned arithmetic on shifted inputs has to add
    void (*convert)(const Modulus&, u64* r, const ConvertTerm* terms, std::size_t count, u64 constant, std::size_t n);
    // r = sum_i a_i b_i
    void (*dot)(const Modulus&, u64* r, const ProductTerm* terms, std::size_t count, std::size_t n);
    // out[o] = sum_i weights[o * count + i] inputs[i], |weights| < 2^49, count < 2^26
    void (*weighted_sum)(const Modulus&, u64* const* outputs, std::size_t output_count, const u64* const* inputs,
                         const i64* weights, std::size_t count, std::size_t n);
    // r_p = the rotated pair, and r_p += the rotated pair, at the positions of the range's chunks
    void (*rotate)(const Modulus&, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange);
    void (*add_rotation)(const Modulus&, u64* r0, u64* r1, const RotationTerms& rotation, ChunkRange);
    // Chunk first + i to packed + i stride.
    void (*pack_rotation)(const Modulus&, u64* packed, std::size_t stride, const RotationTerms& rotation, ChunkRange);
    // packed as above, rotation number r at offset r kPackedWords; diagonals: for every chunk of the range and every term
    // of every group in turn, kChunkWords residues, and unless `symmetric` those at the mirrored positions too; a chunk
    // starts diagonal_stride words after the one before.
    void (*diagonal_sums)(const Modulus&, const DiagonalGroup* groups, std::size_t group_count, const u64* packed,
                          std::size_t stride, const u64* diagonals, std::size_t diagonal_stride, bool symmetric,
                          ChunkRange);
};

// Null where the path is not compiled in or the processor lacks the instructions.
const Kernels* scalar_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* ifma_kernels();
const Kernels* emulated_ifma_kernels();  // the ifma code on portable vectors: slow, for tests

// Which table is in use; the fastest available one unless a test forces another.
class KernelSelection {
public:
    KernelSelection();
    const Kernels& active() const { return *active_.load(std::memory_order_relaxed); }
    void select(const std::string& path);  // throws KK-N13
    static std::vector<std::string> available();

private:
    std::atomic<const Kernels*> active_;
};

}  // namespace kakuri::ckks
