// Purpose: the plaintext side of a linear transform: generalised diagonals, encoded once and streamed at every use.
// Guarantees: every (output, giant, input, baby) occurs once; each output has a diagonal that is not zero; vectors are
//   encoded modulo q_0 ... q_level and the special primes; memory is one block in the order in which the kernel reads it.
// Layout: [slot][chunk][term][term_words()] with chunks as in kernels.hpp (in the standard ring a plaintext of real slots
//   needs only half of its residues) and terms in ascending order of their key.
#pragma once

#include <compare>
#include <utility>

#include "ciphertext.hpp"
#include "mapping.hpp"
#include "threads.hpp"

namespace kakuri::ckks {

// Multiplies the rotation by `baby` of an input; the sum over the terms of one (output, giant) is rotated by `giant`.
struct DiagonalKey {
    int output;
    int giant;
    int input;
    int baby;
    auto operator<=>(const DiagonalKey&) const = default;
};

struct DiagonalEntry {
    int output;
    long long giant;
    int input;
    long long baby;
    std::span<const double> values;
};

class Diagonals {
public:
    struct Group {
        int output;
        int giant;
        std::size_t first;  // term
        std::size_t terms;
    };
    struct Rotation {
        int input;
        int baby;
        auto operator<=>(const Rotation&) const = default;
    };

    // Throws KK-N05, KK-N07, KK-N11 or KK-N12; problems of several entries together.
    static Diagonals encode(ContextPtr context, int level, double scale, int inputs, int outputs,
                            std::span<const DiagonalEntry> entries, ThreadPool& pool);
    // The file as one block, read in place (serialize.hpp describes it). Throws KK-F..
    static Diagonals parse(ContextPtr context, Mapping file);
    static Diagonals open(ContextPtr context, const std::string& path);
    void save(const std::string& path) const;
    // What save() writes.
    std::vector<std::uint8_t> bytes() const;

    const ContextPtr& context() const { return context_; }
    int level() const { return level_; }
    double scale() const { return scale_; }
    int inputs() const { return inputs_; }
    int outputs() const { return outputs_; }
    std::size_t nbytes() const { return words() * sizeof(u64); }
    const std::vector<DiagonalKey>& terms() const { return terms_; }
    // Ascending by output, then giant step.
    const std::vector<Group>& groups() const { return groups_; }
    // Distinct (input, baby), ascending, and for every term its place among them.
    const std::vector<Rotation>& rotations() const { return rotations_; }
    const std::vector<std::uint32_t>& rotation_of_term() const { return rotation_of_term_; }

    bool symmetric() const { return !context_->ring().folded(); }
    std::size_t term_words() const { return symmetric() ? kChunkWords : 2 * kChunkWords; }
    // Of one term in one slot.
    static std::size_t term_bytes(const Context& context) {
        return (context.ring().folded() ? context.n() : context.n() / 2) * sizeof(u64);
    }
    // Words from one chunk to the next.
    std::size_t stride() const { return terms_.size() * term_words(); }
    std::size_t chunks() const { return context_->n() / (2 * kChunkWords); }
    // For an extended polynomial's slot at a level up to level().
    const u64* slot(int slot, int at_level) const;

private:
    Diagonals(ContextPtr context, int level, double scale, int inputs, int outputs, std::vector<DiagonalKey> terms,
              Mapping memory, std::size_t offset);
    std::size_t words() const {
        return static_cast<std::size_t>(level_ + 1 + context_->special_count()) * chunks() * stride();
    }
    std::vector<std::uint8_t> header() const;
    template <class Use>
    void with_parts(Use use) const;

    ContextPtr context_;
    int level_;
    double scale_;
    int inputs_;
    int outputs_;
    std::vector<DiagonalKey> terms_;
    std::vector<Group> groups_;
    std::vector<Rotation> rotations_;
    std::vector<std::uint32_t> rotation_of_term_;
    Mapping memory_;
    std::size_t offset_;  // of the words in it, in bytes
};

}  // namespace kakuri::ckks
