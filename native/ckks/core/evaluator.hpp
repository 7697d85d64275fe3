// Purpose: homomorphic operations on ciphertexts, without any secret.
// Guarantees: every refusal happens before any work; results are independent of threads and kernel path; counters are
//   incremented where an operation executes. Safe to call from several threads (their work takes turns in the pool).
// Does not guarantee: that noise or message stay within the modulus; a circuit's planner does.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "diagonals.hpp"
#include "keyswitch.hpp"

namespace kakuri::ckks {

enum class Count {
    kHadd,
    kHaddPlain,
    kHmulPlain,
    kHmul,
    kHsquare,
    kMaskMultiply,
    kRotation,
    kRotationIdentity,
    kRelinearize,
    kRescale,
    kModUp,
    kModDown,
    kCounts,
};
inline constexpr std::array<const char*, static_cast<std::size_t>(Count::kCounts)> kCountNames = {
    "hadd",     "hadd_plain",        "hmulplain",   "hmul",    "hsquare",         "mask_multiply",
    "rotation", "rotation_identity", "relinearize", "rescale", "keyswitch_modup", "keyswitch_moddown"};

using Counts = std::array<std::uint64_t, kCountNames.size()>;

class Evaluator {
public:
    Evaluator(ContextPtr context, std::shared_ptr<const EvaluationKeys> keys, int threads);

    Counts counters() const;
    void reset_counters();
    int threads() const { return pool_.threads(); }

    Ciphertext add(const Ciphertext& a, const Ciphertext& b);
    Ciphertext subtract(const Ciphertext& a, const Ciphertext& b);
    Ciphertext negate(const Ciphertext& a);
    Ciphertext add_many(std::span<const Ciphertext* const> items);
    Ciphertext add_plain(const Ciphertext& a, const Plaintext& p);
    Ciphertext add_scalar(const Ciphertext& a, double value);
    Ciphertext multiply(const Ciphertext& a, const Ciphertext& b);
    Ciphertext square(const Ciphertext& a);
    // Divides `rescale` primes away on the way (0 to min(level, kMaxFusedRescales)).
    Ciphertext relinearize(const Ciphertext& a, int rescale);
    Ciphertext rescale(const Ciphertext& a);
    Ciphertext drop_to_level(const Ciphertext& a, int level);
    Ciphertext set_scale(const Ciphertext& a, double scale);
    Ciphertext multiply_plain(const Ciphertext& a, const Plaintext& p);
    Ciphertext multiply_scalar(const Ciphertext& a, double value, double scale);
    Ciphertext dot_plain(std::span<const Ciphertext* const> items, std::span<const Plaintext* const> plaintexts);
    // weights: row-major (outputs, items).
    std::vector<Ciphertext> linear_combination(std::span<const Ciphertext* const> items,
                                               std::span<const double> weights, std::size_t outputs,
                                               double weight_scale, const Plaintext* mask);
    Ciphertext rotate(const Ciphertext& a, long long step);
    std::vector<Ciphertext> rotate_hoisted(const Ciphertext& a, std::span<const long long> steps);
    Ciphertext rotate_sum(const Ciphertext& a, std::span<const long long> steps);
    // out_o = sum_g rotate_g(sum_{i,b} diagonal[o,g,i,b] rotate_b(items_i)), divided by `rescale` primes.
    std::vector<Ciphertext> linear_transform(std::span<const Ciphertext* const> items, const Diagonals& diagonals,
                                             int rescale);

private:
    class Lease;  // a workspace on loan for one call

    void count(Count what, std::uint64_t times = 1) { counters_[static_cast<std::size_t>(what)] += times; }
    void check_own(const Ciphertext& a, const char* where) const;
    void check_size_two(const Ciphertext& a, const char* where, const char* hint) const;
    void check_uniform_items(std::span<const Ciphertext* const> items) const;
    void check_plain(const Ciphertext& a, const Plaintext& p, const char* where) const;
    const KeySwitchKey& rotation_key(int step, int level) const;
    const KeySwitchKey* key_at_hand(int step, int level) const;  // null where there is none
    const KeySwitchKey& relinearization_key(int level) const;
    Ciphertext product(const Ciphertext& a, const Ciphertext& b);
    // Runs body(polynomial, limb) for every limb of the ciphertext.
    template <class Body>
    void for_limbs(const Ciphertext& a, Body body);
    void check_fused_rescale(int level, int rescale) const;
    // (r0, r1) / (P times `rescale` primes) as a ciphertext; `scale` is the one before that.
    Ciphertext divided(const KeySwitcher& switcher, u64* r0, u64* r1, int rescale, double scale);
    void finish_rotation(const Ciphertext& a, const KeySwitchKey& key, const KeySwitcher& switcher, u64* r0, u64* r1,
                         Ciphertext& out);

    ContextPtr context_;
    std::shared_ptr<const EvaluationKeys> keys_;
    ThreadPool pool_;
    std::array<std::atomic<std::uint64_t>, kCountNames.size()> counters_{};
    std::mutex workspaces_lock_;
    std::vector<std::unique_ptr<Workspace>> workspaces_;
};

}  // namespace kakuri::ckks
