// Purpose: chains a = a + rotate(a, step), hoisted twice: the sums stay in the extended basis, where only the second
//   polynomial leaves it between two stages.
// Guarantees: a stage is one ModUp. Two neighbouring steps make one stage where the keys hold their sum as well.
// Source: Bossuat, Mouchet, Troncoso-Pastoriza and Hubaux, eprint 2020/1203, section 4.
#include <cstring>
#include <utility>

#include "automorphism.hpp"
#include "evaluator_shared.hpp"

namespace kakuri::ckks {

namespace {

class RotateSum {
public:
    RotateSum(const KeySwitcher& switcher, const Ciphertext& a)
        : switcher_(switcher),
          context_(switcher.context),
          first_(switcher.workspace.words(Workspace::kAccumulator0, switcher.extended_words())),
          second_(switcher.workspace.words(Workspace::kAccumulator1, switcher.extended_words())),
          next_(switcher.workspace.words(Workspace::kGroups, switcher.extended_words())),
          reduced_(a.limb(1, 0)) {
        switcher.pool.run(static_cast<std::size_t>(switcher.slots()), [&](std::size_t slot, std::size_t) {
            extend(first_, a.limb(0, 0), static_cast<int>(slot), ChunkRange::whole(switcher.n()));
        });
    }

    // Adds the rotations of the sum that the keys belong to; a null key stands for the sum itself.
    void stage(const std::vector<const KeySwitchKey*>& keys) {
        if (extended_) divide_second();
        switcher_.for_slots_of_digits({&reduced_, 1}, [&](int slot, std::size_t, const u64* digits, ChunkRange range) {
            const std::size_t offset = static_cast<std::size_t>(slot) * switcher_.n();
            for (std::size_t start : {offset + range.near(), offset + range.far()})
                std::memcpy(next_ + start, first_ + start, range.words() * sizeof(u64));
            extend(second_, reduced_, slot, range);
            for (const KeySwitchKey* key : keys) {
                const u64* storage[kMaxPrimes];
                RotationTerms rotation{nullptr, 0, nullptr, 0, nullptr, nullptr, nullptr, 1};
                if (key != nullptr) rotation = switcher_.terms(reduced_, digits, *key, slot, storage);
                rotation.addend0 = first_ + offset;
                rotation.addend1 = key == nullptr ? second_ + offset : nullptr;
                rotation.weight = 1;
                context_.kernels().add_rotation(context_.modulus(switcher_.prime(slot)), next_ + offset,
                                                second_ + offset, rotation, range);
            }
        });
        std::swap(first_, next_);
        extended_ = true;
    }

    bool extended() const { return extended_; }
    u64* first() { return first_; }
    u64* second() { return second_; }

private:
    void divide_second() {
        u64* r = switcher_.workspace.words(Workspace::kGiant, static_cast<std::size_t>(switcher_.level + 1) * switcher_.n());
        const KeySwitcher::Division division[] = {{second_, r}};
        switcher_.mod_down(division, 0);
        reduced_ = r;
    }
    // P times a polynomial of level + 1 limbs; it vanishes modulo the special primes.
    void extend(u64* out, const u64* c, int slot, ChunkRange range) {
        const std::size_t offset = static_cast<std::size_t>(slot) * switcher_.n();
        if (slot > switcher_.level) {
            for (std::size_t start : {offset + range.near(), offset + range.far()})
                std::memset(out + start, 0, range.words() * sizeof(u64));
            return;
        }
        const Modulus& m = context_.modulus(slot);
        const Factor special(context_.special_conversion().product(slot), m.q);
        for (std::size_t start : {offset + range.near(), offset + range.far()})
            context_.kernels().multiply_scalar(m, out + start, c + start, special, range.words());
    }

    const KeySwitcher& switcher_;
    const Context& context_;
    u64* first_;          // P times the first polynomial, extended
    u64* second_;         // of the sum so far, extended, once there is one
    u64* next_;           // takes the next first polynomial
    const u64* reduced_;  // the second polynomial in the basis of the ciphertext
    bool extended_ = false;
};

}  // namespace

const KeySwitchKey* Evaluator::key_at_hand(int step, int level) const {
    if (keys_ == nullptr) return nullptr;
    const auto found = keys_->rotations.find(step);
    return found != keys_->rotations.end() && found->second.level >= level ? &found->second : nullptr;
}

Ciphertext Evaluator::rotate_sum(const Ciphertext& a, std::span<const long long> steps) {
    check_size_two(a, "a", "relinearize() it first");
    std::vector<int> chain;
    std::vector<const KeySwitchKey*> keys;  // null for step 0
    for (long long step : steps) {
        chain.push_back(normalised_step(step, context_->ring()));
        keys.push_back(chain.back() == 0 ? nullptr : &rotation_key(chain.back(), a.level));
    }
    if (keys.empty()) return a;
    Lease workspace(*this);
    const KeySwitcher switcher{*context_, pool_, *workspace, a.level};
    RotateSum sum(switcher, a);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        std::vector<const KeySwitchKey*> stage = {keys[i]};
        std::uint64_t links = 1;  // of the chain
        // (1 + r_s)(1 + r_t) = 1 + r_s + r_t + r_(s + t)
        if (keys[i] != nullptr && i + 1 < keys.size() && keys[i + 1] != nullptr) {
            const KeySwitchKey* both =
                key_at_hand(normalised_step(chain[i] + chain[i + 1], context_->ring()), a.level);
            if (both != nullptr) {
                stage.insert(stage.end(), {keys[++i], both});
                links = 2;
            }
        }
        count(stage[0] == nullptr ? Count::kRotationIdentity : Count::kRotation, links);
        count(Count::kHadd, links);
        count(Count::kModUp);
        if (sum.extended()) count(Count::kModDown);
        sum.stage(stage);
    }
    return divided(switcher, sum.first(), sum.second(), 0, a.scale);
}

}  // namespace kakuri::ckks
