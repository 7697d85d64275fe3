// Purpose: the evaluator's operations that switch keys one ciphertext at a time: relinearisation and rotations.
#include <algorithm>

#include "automorphism.hpp"
#include "evaluator_shared.hpp"

namespace kakuri::ckks {

namespace {

std::string existing_keys(const EvaluationKeys* keys) {
    if (keys == nullptr || keys->rotations.empty()) return "no rotation keys";
    std::string out = "steps";
    int shown = 0;
    for (const auto& [step, key] : keys->rotations) {
        if (++shown > 12) return out + " ... (" + std::to_string(keys->rotations.size()) + " in all)";
        out += " " + std::to_string(step) + "@" + std::to_string(key.level);
    }
    return out;
}

}  // namespace

const KeySwitchKey& Evaluator::rotation_key(int step, int level) const {
    const std::string where = "rotation by " + std::to_string(step) + " at level " + std::to_string(level);
    if (keys_ != nullptr) {
        const auto found = keys_->rotations.find(step);
        if (found != keys_->rotations.end() && found->second.level >= level) return found->second;
        if (found != keys_->rotations.end())
            throw Error({"KK-N09", "rotation key was made for a lower level", where,
                         "key up to level " + std::to_string(found->second.level), "level " + std::to_string(level),
                         "make the key for level " + std::to_string(level)});
    }
    throw Error({"KK-N09", "rotation key is missing", where, existing_keys(keys_.get()), "",
                 "include the step in evaluation_keys(rotations)"});
}

const KeySwitchKey& Evaluator::relinearization_key(int level) const {
    const std::string where = "relinearisation at level " + std::to_string(level);
    if (keys_ == nullptr || !keys_->relinearization)
        throw Error({"KK-N09", "relinearisation key is missing", where, "", "",
                     "pass relinearization_level to evaluation_keys()"});
    if (keys_->relinearization->level < level)
        throw Error({"KK-N09", "relinearisation key was made for a lower level", where,
                     "key up to level " + std::to_string(keys_->relinearization->level),
                     "level " + std::to_string(level), ""});
    return *keys_->relinearization;
}

Ciphertext Evaluator::relinearize(const Ciphertext& a, int rescale) {
    check_own(a, "a");
    if (a.size != 3)
        throw Error({"KK-N08", "ciphertext has the wrong number of polynomials", "a", std::to_string(a.size), "3",
                     "only a product needs relinearisation"});
    check_fused_rescale(a.level, rescale);
    const KeySwitchKey& key = relinearization_key(a.level);
    Lease workspace(*this);
    const KeySwitcher switcher{*context_, pool_, *workspace, a.level};
    const std::size_t n = context_->n();
    u64* r0 = (*workspace).words(Workspace::kAccumulator0, switcher.extended_words());
    u64* r1 = (*workspace).words(Workspace::kAccumulator1, switcher.extended_words());
    switcher.mod_up_inner_product(a.limb(2, 0), key, r0, r1);
    // P (c0, c1) joins in the extended basis, so that one division serves all.
    pool_.run(static_cast<std::size_t>(a.level + 1), [&](std::size_t l, std::size_t) {
        const int i = static_cast<int>(l);
        const RotationTerms product{nullptr, 0, nullptr, 0, nullptr, a.limb(0, i), a.limb(1, i),
                                    context_->special_conversion().product(i)};
        context_->kernels().add_rotation(context_->modulus(i), r0 + l * n, r1 + l * n, product, ChunkRange::whole(n));
    });
    Ciphertext out = divided(switcher, r0, r1, rescale, a.scale);
    count(Count::kRelinearize);
    count(Count::kModUp);
    return out;
}

void Evaluator::check_fused_rescale(int level, int rescale) const {
    const int limit = std::min(level, kMaxFusedRescales);
    if (rescale < 0 || rescale > limit)
        throw Error({"KK-N05", "that many primes cannot be divided away here", "rescale", std::to_string(rescale),
                     "0 to " + std::to_string(limit), "use parameters with more moduli, or rescale() afterwards"});
}

Ciphertext Evaluator::divided(const KeySwitcher& switcher, u64* r0, u64* r1, int rescale, double scale) {
    for (int i = 0; i < rescale; ++i) scale /= static_cast<double>(context_->modulus(switcher.level - i).q);
    Ciphertext out(context_, 2, switcher.level - rescale, scale);
    const KeySwitcher::Division both[] = {{r0, out.limb(0, 0)}, {r1, out.limb(1, 0)}};
    switcher.mod_down(both, rescale);
    count(Count::kModDown);
    count(Count::kRescale, static_cast<std::uint64_t>(rescale));
    return out;
}

void Evaluator::finish_rotation(const Ciphertext& a, const KeySwitchKey& key, const KeySwitcher& switcher, u64* r0,
                                u64* r1, Ciphertext& out) {
    const KeySwitcher::Division both[] = {{r0, out.limb(0, 0)}, {r1, out.limb(1, 0)}};
    switcher.mod_down(both, 0);
    const std::size_t n = context_->n();
    // The accumulator is free again; it takes the rotated first polynomial.
    pool_.run(static_cast<std::size_t>(a.level + 1), [&](std::size_t l, std::size_t) {
        const int i = static_cast<int>(l);
        u64* rotated = r0 + l * n;
        context_->kernels().permute(rotated, a.limb(0, i), key.permutation.data(), n);
        context_->kernels().add(context_->modulus(i), out.limb(0, i), out.limb(0, i), rotated, n);
    });
    count(Count::kRotation);
    count(Count::kModDown);
}

Ciphertext Evaluator::rotate(const Ciphertext& a, long long step) {
    check_size_two(a, "a", "relinearize() it first");
    const int normal = normalised_step(step, context_->ring());
    if (normal == 0) {
        count(Count::kRotationIdentity);
        return a;
    }
    const KeySwitchKey& key = rotation_key(normal, a.level);
    Lease workspace(*this);
    const KeySwitcher switcher{*context_, pool_, *workspace, a.level};
    u64* r0 = (*workspace).words(Workspace::kAccumulator0, switcher.extended_words());
    u64* r1 = (*workspace).words(Workspace::kAccumulator1, switcher.extended_words());
    switcher.mod_up_inner_product(a.limb(1, 0), key, r0, r1);
    count(Count::kModUp);
    Ciphertext out(context_, 2, a.level, a.scale);
    finish_rotation(a, key, switcher, r0, r1, out);
    return out;
}

std::vector<Ciphertext> Evaluator::rotate_hoisted(const Ciphertext& a, std::span<const long long> steps) {
    check_size_two(a, "a", "relinearize() it first");
    std::vector<const KeySwitchKey*> keys;
    for (long long step : steps) {
        const int normal = normalised_step(step, context_->ring());
        keys.push_back(normal == 0 ? nullptr : &rotation_key(normal, a.level));
    }
    Lease workspace(*this);
    const KeySwitcher switcher{*context_, pool_, *workspace, a.level};
    u64* r0 = (*workspace).words(Workspace::kAccumulator0, switcher.extended_words());
    u64* r1 = (*workspace).words(Workspace::kAccumulator1, switcher.extended_words());
    u64* digits = nullptr;
    std::vector<Ciphertext> out;
    out.reserve(steps.size());
    for (const KeySwitchKey* key : keys) {
        if (key == nullptr) {
            out.push_back(a);
            count(Count::kRotationIdentity);
            continue;
        }
        if (digits == nullptr) {
            digits = (*workspace).words(
                Workspace::kDigits, static_cast<std::size_t>(switcher.slots()) * switcher.slot_digits());
            switcher.mod_up(a.limb(1, 0), digits);
            count(Count::kModUp);
        }
        switcher.inner_product(a.limb(1, 0), digits, *key, r0, r1);
        finish_rotation(a, *key, switcher, r0, r1, out.emplace_back(context_, 2, a.level, a.scale));
    }
    return out;
}

}  // namespace kakuri::ckks
