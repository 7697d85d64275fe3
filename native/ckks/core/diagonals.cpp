#include "diagonals.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "automorphism.hpp"
#include "checks.hpp"
#include "scaled_polynomial.hpp"
#include "threads.hpp"

namespace kakuri::ckks {

namespace {

constexpr std::size_t kMaxDiagonals = std::size_t{1} << 24;
constexpr std::size_t kShownProblems = 8;

// Gathers problems of many entries, a few of them in full.
class Problems {
public:
    void add(const Error& error) {
        const std::lock_guard guard(lock_);
        for (const Problem& problem : error.problems())
            if (problems_.size() < kShownProblems) problems_.push_back(problem);
    }
    void raise() const {
        if (!problems_.empty()) throw Error(problems_);
    }

private:
    std::mutex lock_;
    std::vector<Problem> problems_;
};

std::string entry_name(std::size_t i) { return "entries[" + std::to_string(i) + "]"; }

void check_index(int index, int count, const std::string& where, Problems& problems) {
    if (index < 0 || index >= count)
        problems.add(Error({"KK-N11", "index does not exist", where, std::to_string(index),
                            "0 to " + std::to_string(count - 1), ""}));
}

// Places of the entries in ascending order of key.
std::vector<std::size_t> sorted_places(const std::vector<DiagonalKey>& keys) {
    std::vector<std::size_t> order(keys.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; });
    return order;
}

std::vector<DiagonalKey> checked_keys(const Context& context, int inputs, int outputs,
                                      std::span<const DiagonalEntry> entries) {
    if (inputs < 1 || outputs < 1)
        throw Error({"KK-N11", "a transform needs an input and an output", inputs < 1 ? "inputs" : "outputs",
                     std::to_string(std::min(inputs, outputs)), "at least 1", ""});
    if (entries.empty() || entries.size() > kMaxDiagonals)
        throw Error({"KK-N11", "number of diagonals is out of range", "entries", std::to_string(entries.size()),
                     "1 to " + std::to_string(kMaxDiagonals), ""});
    Problems problems;
    std::vector<DiagonalKey> keys;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const DiagonalEntry& e = entries[i];
        check_index(e.output, outputs, entry_name(i) + ".output", problems);
        check_index(e.input, inputs, entry_name(i) + ".input", problems);
        keys.push_back({e.output, normalised_step(e.giant, context.ring()), e.input,
                        normalised_step(e.baby, context.ring())});
    }
    const std::vector<std::size_t> order = sorted_places(keys);
    for (std::size_t i = 1; i < order.size(); ++i)
        if (keys[order[i - 1]] == keys[order[i]])
            problems.add(Error({"KK-N11", "this output, giant step, input and baby step occur twice",
                                entry_name(order[i]), entry_name(order[i - 1]), "once", "add the two diagonals"}));
    problems.raise();
    return keys;
}

// A transformed polynomial of n values to the term's place in every chunk.
void scatter(const u64* values, std::size_t n, bool symmetric, std::size_t stride, u64* out) {
    for (std::size_t at = 0; at < n / 2; at += kChunkWords, out += stride) {
        std::memcpy(out, values + at, kChunkWords * sizeof(u64));
        for (std::size_t k = 0; !symmetric && k < kChunkWords; ++k) out[kChunkWords + k] = values[n - 1 - at - k];
    }
}

}  // namespace

Diagonals::Diagonals(ContextPtr context, int level, double scale, int inputs, int outputs,
                     std::vector<DiagonalKey> terms, Mapping memory, std::size_t offset)
    : context_(std::move(context)),
      level_(level),
      scale_(scale),
      inputs_(inputs),
      outputs_(outputs),
      terms_(std::move(terms)),
      memory_(std::move(memory)),
      offset_(offset) {
    for (std::size_t t = 0; t < terms_.size(); ++t) {
        if (groups_.empty() || groups_.back().output != terms_[t].output || groups_.back().giant != terms_[t].giant)
            groups_.push_back({terms_[t].output, terms_[t].giant, t, 0});
        ++groups_.back().terms;
        rotations_.push_back({terms_[t].input, terms_[t].baby});
    }
    std::sort(rotations_.begin(), rotations_.end());
    rotations_.erase(std::unique(rotations_.begin(), rotations_.end()), rotations_.end());
    for (const DiagonalKey& term : terms_) {
        const auto found = std::lower_bound(rotations_.begin(), rotations_.end(), Rotation{term.input, term.baby});
        rotation_of_term_.push_back(static_cast<std::uint32_t>(found - rotations_.begin()));
    }
}

const u64* Diagonals::slot(int slot, int at_level) const {
    const int own = slot <= at_level ? slot : slot - at_level + level_;
    return reinterpret_cast<const u64*>(memory_.data() + offset_) + static_cast<std::size_t>(own) * chunks() * stride();
}

Diagonals Diagonals::encode(ContextPtr context, int level, double scale, int inputs, int outputs,
                            std::span<const DiagonalEntry> entries, ThreadPool& pool) {
    check_level(level, context->max_level(), "level");
    check_scale(scale, context->log_modulus(level), "scale");
    const std::vector<DiagonalKey> keys = checked_keys(*context, inputs, outputs, entries);
    const std::vector<std::size_t> order = sorted_places(keys);
    std::vector<DiagonalKey> terms;
    for (std::size_t place : order) terms.push_back(keys[place]);

    const auto slots = static_cast<std::size_t>(level + 1 + context->special_count());
    const std::size_t bytes = slots * term_bytes(*context) * terms.size();
    Diagonals out(context, level, scale, inputs, outputs, std::move(terms), Mapping::anonymous(bytes), 0);
    u64* memory = reinterpret_cast<u64*>(out.memory_.data());
    Problems problems;
    std::vector<std::uint8_t> nonzero(order.size());
    pool.run(order.size(), [&](std::size_t t, std::size_t) {
        try {
            ScaledPolynomial polynomial(*context, entries[order[t]].values, scale, context->log_modulus(level),
                                        entry_name(order[t]) + ".values");
            if (out.symmetric()) polynomial.make_symmetric();
            nonzero[t] = polynomial.is_zero() ? 0 : 1;
            Buffer values(context->n());
            for (std::size_t s = 0; s < slots; ++s) {
                const int slot = static_cast<int>(s);
                polynomial.residues(*context, slot <= level ? slot : context->special_index(slot - level - 1),
                                    values.data());
                scatter(values.data(), context->n(), out.symmetric(), out.stride(),
                        memory + s * out.chunks() * out.stride() + t * out.term_words());
            }
        } catch (const Error& error) {
            problems.add(error);
        }
    });
    problems.raise();
    std::vector<bool> visible(static_cast<std::size_t>(outputs));
    for (std::size_t t = 0; t < order.size(); ++t)
        if (nonzero[t] != 0) visible[static_cast<std::size_t>(out.terms_[t].output)] = true;
    for (std::size_t o = 0; o < visible.size(); ++o)
        if (!visible[o])
            problems.add(Error({"KK-N12", "the product would be a transparent ciphertext, one that anybody can read",
                                "output " + std::to_string(o), "no diagonal that is not zero", "at least one",
                                "leave the output out, or use a larger scale so that it does not round to zero"}));
    problems.raise();
    return out;
}

}  // namespace kakuri::ckks
