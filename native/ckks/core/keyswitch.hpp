// Purpose: hybrid key switching in three steps, and the division by primes that it shares with rescaling.
// Guarantees: results do not depend on threads or kernel path. Digits and remainders are centred, so ModDown and
//   rescale round to nearest.
// Source: Han and Ki, "Better bootstrapping for approximate homomorphic encryption", eprint 2019/688, section 3
//   (hybrid, digits of several limbs); Halevi and Shoup, "Faster homomorphic linear transformations in HElib", eprint
//   2018/244 (hoisting).
// Layout: an extended polynomial at level l has slots 0 .. l for q_0 .. q_l, then one slot per special prime.
#pragma once

#include <algorithm>
#include <span>

#include "ciphertext.hpp"
#include "threads.hpp"

namespace kakuri::ckks {

// Scratch memory of one call, grown on demand and kept between calls.
class Workspace {
public:
    enum Slot {
        kCoefficients,
        kDigits,
        kAccumulator0,
        kAccumulator1,
        kTemporary,
        kLifted,
        kPacked,
        kGroups,
        kTotals,
        kGiant,
        kSlots,
    };
    u64* words(Slot slot, std::size_t count) {
        if (buffers_[slot].size() < count) buffers_[slot] = Buffer(count);
        return buffers_[slot].data();
    }

private:
    Buffer buffers_[kSlots];
};

struct KeySwitcher {
    const Context& context;
    ThreadPool& pool;
    Workspace& workspace;
    int level;

    std::size_t n() const { return context.n(); }
    int slots() const { return level + 1 + context.special_count(); }
    // Index among the context's primes of an extended polynomial's slot.
    int prime(int slot) const { return slot <= level ? slot : context.special_index(slot - level - 1); }

    std::size_t digits() const { return static_cast<std::size_t>(context.digits_at(level)); }
    std::size_t extended_words() const { return static_cast<std::size_t>(slots()) * n() + kRowPadding; }
    // From one digit to the next, and all of one slot.
    std::size_t digit_row() const { return n() + kRowPadding; }
    std::size_t slot_digits() const { return digits() * digit_row(); }

    // All digits of c (level + 1 limbs in NTT form) modulo every prime, in NTT form: [slot][digit][digit_row()]. Modulo its
    // own primes a digit is c, and its place stays as it was.
    void mod_up(const u64* c, u64* out) const;
    // (r0, r1) = sum over the digits of c of automorphism(digit) * key, in the extended basis. r0, r1: slots() limbs.
    void inner_product(const u64* c, const u64* digits, const KeySwitchKey& key, u64* r0, u64* r1) const;
    // mod_up and inner_product limb by limb: the digits of one limb stay in cache and are never stored.
    void mod_up_inner_product(const u64* c, const KeySwitchKey& key, u64* r0, u64* r1) const;
    // The same for several polynomials, each added to its (r0, r1) together with its rotated `addend` (extended, as the first
    // polynomial). Several may have one r0 and r1.
    struct Rotated {
        const u64* c;
        const KeySwitchKey* key;
        const u64* addend;
        u64* r0;
        u64* r1;
    };
    void mod_up_add_rotations(std::span<const Rotated> terms) const;
    // r = round(extended / (P q_level ... )), the last `rescale` limbs divided away too: level + 1 - rescale limbs. The
    // slots of the primes that are divided by are overwritten. One thread divides one at a time, several share all of them.
    struct Division {
        u64* extended;
        u64* r;
    };
    void mod_down(std::span<const Division> divisions, int rescale) const;
    // The terms of `slot` in a rotation of c, given its digits of that slot. `storage` has room for the digits in use.
    RotationTerms terms(const u64* c, const u64* digits, const KeySwitchKey& key, int slot, const u64** storage) const;

    // use(slot, i, digits of polynomials[i] in that slot, range) for ranges that make up every slot; the digits are gone
    // after it. One thread at a time uses a place, polynomial after polynomial. Threads take slots in turn; the last of them
    // they share, digit by digit and then range by range, so that none waits long for another.
    template <class Use>
    void for_slots_of_digits(std::span<const u64* const> polynomials, Use use) const {
        const u64* y = coefficients(polynomials);
        const auto threads = static_cast<std::size_t>(pool.threads()), count = polynomials.size();
        const auto all = static_cast<std::size_t>(slots()), limbs = static_cast<std::size_t>(level + 1);
        const std::size_t shared = threads == 1 ? 0 : std::min(all, all % threads + threads), whole = all - shared;
        u64* scratch = workspace.words(Workspace::kDigits, (threads + shared * count) * slot_digits());
        const auto digits_of_shared = [&](std::size_t i, std::size_t p) {
            return scratch + (threads + i * count + p) * slot_digits();
        };
        pool.run(whole + shared * count * digits(), [&](std::size_t task, std::size_t worker) {
            if (task >= whole) {
                const std::size_t i = (task - whole) / digits() / count, p = (task - whole) / digits() % count;
                const std::size_t d = (task - whole) % digits();
                extend_digit(y + p * limbs * n(), d, whole + i, digits_of_shared(i, p) + d * digit_row());
                return;
            }
            u64* of_slot = scratch + worker * slot_digits();
            for (std::size_t p = 0; p < count; ++p) {
                for (std::size_t d = 0; d < digits(); ++d)
                    extend_digit(y + p * limbs * n(), d, task, of_slot + d * digit_row());
                use(static_cast<int>(task), p, static_cast<const u64*>(of_slot), ChunkRange::whole(n()));
            }
        });
        const std::size_t chunks = ChunkRange::whole(n()).count, pieces = std::min(kPiecesPerThread * threads, chunks);
        pool.run(shared * pieces, [&](std::size_t task, std::size_t) {
            const std::size_t i = task / pieces, piece = task % pieces, first = chunks * piece / pieces;
            const ChunkRange range{first, chunks * (piece + 1) / pieces - first, n()};
            for (std::size_t p = 0; p < count; ++p)
                use(static_cast<int>(whole + i), p, static_cast<const u64*>(digits_of_shared(i, p)), range);
        });
    }

private:
    static constexpr std::size_t kPiecesPerThread = 2;  // of a shared slot

    // Of every limb of every polynomial, divided by its cofactor in its digit: [polynomial][limb][n].
    const u64* coefficients(std::span<const u64* const> polynomials) const;
    bool own_limb(int digit, int slot) const;
    void extend_digit(const u64* y, std::size_t digit, std::size_t slot, u64* out) const;
    void multiply_key(const u64* c, const u64* digits, const KeySwitchKey& key, int slot, ChunkRange range, u64* r0,
                      u64* r1) const;
};

// r = round(c / q_level), one limb fewer; `top` (n words) is scratch. Runs on the caller's thread.
void divide_by_top_prime(const Context& context, int level, const u64* c, u64* r, u64* top);

}  // namespace kakuri::ckks
