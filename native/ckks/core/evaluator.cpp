#include "evaluator.hpp"

#include <algorithm>
#include <cstring>

#include "evaluator_shared.hpp"

namespace kakuri::ckks {

namespace {

// round(value), refused when it does not fit `bits` bits.
i64 rounded_integer(double value, int bits, const std::string& where) {
    if (!std::isfinite(value)) throw Error({"KK-N07", "value is not finite", where, text(value), "", ""});
    const double whole = std::nearbyint(value);
    if (std::abs(whole) >= std::ldexp(1.0, bits))
        throw Error({"KK-N15", "scaled value is too large", where, "2^" + text(std::log2(std::abs(whole))),
                     "2^" + std::to_string(bits), "use a smaller scale"});
    return static_cast<i64>(whole);
}

}  // namespace

Evaluator::Evaluator(ContextPtr context, std::shared_ptr<const EvaluationKeys> keys, int threads)
    : context_(std::move(context)), keys_(std::move(keys)), pool_(checked_threads(threads)) {
    if (keys_ != nullptr) check_same_parameters(*context_, *keys_->context, "keys");
}

Counts Evaluator::counters() const {
    Counts out;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = counters_[i].load();
    return out;
}

void Evaluator::reset_counters() {
    for (auto& counter : counters_) counter = 0;
}

void Evaluator::check_own(const Ciphertext& a, const char* where) const {
    check_same_parameters(*context_, *a.context, where);
}

void Evaluator::check_size_two(const Ciphertext& a, const char* where, const char* hint) const {
    check_own(a, where);
    if (a.size != 2)
        throw Error(
            {"KK-N08", "ciphertext has the wrong number of polynomials", where, std::to_string(a.size), "2", hint});
}

void Evaluator::check_uniform_items(std::span<const Ciphertext* const> items) const {
    if (items.empty()) throw Error({"KK-N11", "no ciphertext given", "items", "0", "at least 1", ""});
    if (items.size() > kMaxTerms)
        throw Error({"KK-N11", "too many terms", "items", std::to_string(items.size()), std::to_string(kMaxTerms), ""});
    for (const Ciphertext* item : items) {
        check_own(*item, "items");
        check_same_level(items[0]->level, item->level, "items");
        check_same_scale(items[0]->scale, item->scale, "items");
    }
}

void Evaluator::check_plain(const Ciphertext& a, const Plaintext& p, const char* where) const {
    check_same_parameters(*context_, *p.context, where);
    if (p.level < a.level)
        throw Error({"KK-N05", "plaintext is at a lower level than the ciphertext", where, std::to_string(p.level),
                     "at least " + std::to_string(a.level), "encode it at the ciphertext's level"});
}

template <class Body>
void Evaluator::for_limbs(const Ciphertext& a, Body body) {
    const auto limbs = static_cast<std::size_t>(a.level + 1);
    pool_.run(static_cast<std::size_t>(a.size) * limbs,
              [&](std::size_t i, std::size_t) { body(static_cast<int>(i / limbs), static_cast<int>(i % limbs)); });
}

Ciphertext Evaluator::add(const Ciphertext& a, const Ciphertext& b) {
    check_own(a, "a");
    check_own(b, "b");
    check_same_level(a.level, b.level, "b");
    check_same_scale(a.scale, b.scale, "b");
    const Ciphertext& longer = a.size >= b.size ? a : b;
    Ciphertext out(context_, longer.size, a.level, a.scale);
    for_limbs(out, [&](int p, int i) {
        if (p < std::min(a.size, b.size))
            context_->kernels().add(context_->modulus(i), out.limb(p, i), a.limb(p, i), b.limb(p, i), context_->n());
        else
            std::memcpy(out.limb(p, i), longer.limb(p, i), context_->n() * sizeof(u64));
    });
    count(Count::kHadd);
    return out;
}

Ciphertext Evaluator::subtract(const Ciphertext& a, const Ciphertext& b) {
    check_own(a, "a");
    check_own(b, "b");
    check_same_level(a.level, b.level, "b");
    check_same_scale(a.scale, b.scale, "b");
    Ciphertext out(context_, std::max(a.size, b.size), a.level, a.scale);
    for_limbs(out, [&](int p, int i) {
        const Modulus& m = context_->modulus(i);
        if (p >= b.size)
            std::memcpy(out.limb(p, i), a.limb(p, i), context_->n() * sizeof(u64));
        else if (p >= a.size)
            context_->kernels().negate(m, out.limb(p, i), b.limb(p, i), context_->n());
        else
            context_->kernels().subtract(m, out.limb(p, i), a.limb(p, i), b.limb(p, i), context_->n());
    });
    count(Count::kHadd);
    return out;
}

Ciphertext Evaluator::negate(const Ciphertext& a) {
    check_own(a, "a");
    Ciphertext out(context_, a.size, a.level, a.scale);
    for_limbs(out, [&](int p, int i) {
        context_->kernels().negate(context_->modulus(i), out.limb(p, i), a.limb(p, i), context_->n());
    });
    return out;
}

Ciphertext Evaluator::add_many(std::span<const Ciphertext* const> items) {
    check_uniform_items(items);
    const Ciphertext* longest = items[0];
    for (const Ciphertext* item : items)
        if (item->size > longest->size) longest = item;
    Ciphertext out(context_, longest->size, longest->level, items[0]->scale);
    for_limbs(out, [&](int p, int i) {
        std::memcpy(out.limb(p, i), longest->limb(p, i), context_->n() * sizeof(u64));
        bool longest_added = false;
        for (const Ciphertext* item : items) {
            const bool skip = (item == longest && !longest_added) || p >= item->size;
            longest_added = longest_added || item == longest;
            if (!skip)
                context_->kernels().add(context_->modulus(i), out.limb(p, i), out.limb(p, i), item->limb(p, i),
                                        context_->n());
        }
    });
    count(Count::kHadd, items.size() - 1);
    return out;
}

Ciphertext Evaluator::add_plain(const Ciphertext& a, const Plaintext& p) {
    check_own(a, "a");
    check_plain(a, p, "p");
    check_same_scale(a.scale, p.scale, "p");
    Ciphertext out(context_, a.size, a.level, a.scale);
    for_limbs(out, [&](int polynomial, int i) {
        if (polynomial == 0)
            context_->kernels().add(context_->modulus(i), out.limb(0, i), a.limb(0, i), p.limb(i), context_->n());
        else
            std::memcpy(out.limb(polynomial, i), a.limb(polynomial, i), context_->n() * sizeof(u64));
    });
    count(Count::kHaddPlain);
    return out;
}

Ciphertext Evaluator::add_scalar(const Ciphertext& a, double value) {
    check_own(a, "a");
    const i64 integer = rounded_integer(value * a.scale, 62, "value");
    if (std::log2(std::abs(static_cast<double>(integer))) + 1 >= context_->log_modulus(a.level))
        throw Error({"KK-N07", "scaled value does not fit the modulus of this level", "value", text(value), "", ""});
    Ciphertext out(context_, a.size, a.level, a.scale);
    for_limbs(out, [&](int p, int i) {
        const Modulus& m = context_->modulus(i);
        if (p == 0)
            context_->kernels().add_scalar(m, out.limb(0, i), a.limb(0, i), m.reduce_signed(integer), context_->n());
        else
            std::memcpy(out.limb(p, i), a.limb(p, i), context_->n() * sizeof(u64));
    });
    count(Count::kHaddPlain);
    return out;
}

Ciphertext Evaluator::product(const Ciphertext& a, const Ciphertext& b) {
    check_size_two(a, "a", "relinearize() it first");
    check_size_two(b, "b", "relinearize() it first");
    check_same_level(a.level, b.level, "b");
    check_product_scale(*context_, a.scale * b.scale, a.level, "product of the scales");
    Ciphertext out(context_, 3, a.level, a.scale * b.scale);
    pool_.run(static_cast<std::size_t>(a.level + 1), [&](std::size_t l, std::size_t) {
        const int i = static_cast<int>(l);
        context_->kernels().tensor(context_->modulus(i), out.limb(0, i), out.limb(1, i), out.limb(2, i), a.limb(0, i),
                                   a.limb(1, i), b.limb(0, i), b.limb(1, i), context_->n());
    });
    return out;
}

Ciphertext Evaluator::multiply(const Ciphertext& a, const Ciphertext& b) {
    Ciphertext out = product(a, b);
    count(Count::kHmul);
    return out;
}

Ciphertext Evaluator::square(const Ciphertext& a) {
    Ciphertext out = product(a, a);
    count(Count::kHsquare);
    return out;
}

Ciphertext Evaluator::rescale(const Ciphertext& a) {
    check_own(a, "a");
    if (a.level == 0)
        throw Error({"KK-N05", "no level left to rescale", "a", "0", "at least 1", "use parameters with more moduli"});
    Lease workspace(*this);
    const std::size_t n = context_->n();
    Ciphertext out(context_, a.size, a.level - 1, a.scale / static_cast<double>(context_->modulus(a.level).q));
    u64* scratch = (*workspace).words(Workspace::kTemporary, static_cast<std::size_t>(a.size) * n);
    pool_.run(static_cast<std::size_t>(a.size), [&](std::size_t p, std::size_t) {
        const int polynomial = static_cast<int>(p);
        divide_by_top_prime(*context_, a.level, a.limb(polynomial, 0), out.limb(polynomial, 0), scratch + p * n);
    });
    count(Count::kRescale);
    return out;
}

Ciphertext Evaluator::drop_to_level(const Ciphertext& a, int level) {
    check_own(a, "a");
    check_level(level, a.level, "level");
    check_product_scale(*context_, a.scale, level, "a");
    Ciphertext out(context_, a.size, level, a.scale);
    for (int p = 0; p < a.size; ++p)
        std::memcpy(out.limb(p, 0), a.limb(p, 0), static_cast<std::size_t>(level + 1) * context_->n() * sizeof(u64));
    return out;
}

Ciphertext Evaluator::set_scale(const Ciphertext& a, double scale) {
    check_own(a, "a");
    check_product_scale(*context_, scale, a.level, "scale");
    Ciphertext out = a;
    out.scale = scale;
    return out;
}

Ciphertext Evaluator::multiply_plain(const Ciphertext& a, const Plaintext& p) {
    check_own(a, "a");
    check_plain(a, p, "p");
    check_product_scale(*context_, a.scale * p.scale, a.level, "product of the scales");
    if (p.is_zero) throw transparent("p");
    Ciphertext out(context_, a.size, a.level, a.scale * p.scale);
    for_limbs(out, [&](int polynomial, int i) {
        context_->kernels().multiply(context_->modulus(i), out.limb(polynomial, i), a.limb(polynomial, i), p.limb(i),
                                     context_->n());
    });
    count(Count::kHmulPlain);
    return out;
}

Ciphertext Evaluator::multiply_scalar(const Ciphertext& a, double value, double scale) {
    check_own(a, "a");
    check_product_scale(*context_, scale, a.level, "scale");
    check_product_scale(*context_, a.scale * scale, a.level, "product of the scales");
    const i64 integer = rounded_integer(value * scale, 62, "value");
    if (integer == 0) throw transparent("value");
    Ciphertext out(context_, a.size, a.level, a.scale * scale);
    for_limbs(out, [&](int p, int i) {
        const Modulus& m = context_->modulus(i);
        context_->kernels().multiply_scalar(m, out.limb(p, i), a.limb(p, i), Factor(m.reduce_signed(integer), m.q),
                                            context_->n());
    });
    count(Count::kHmulPlain);
    return out;
}

Ciphertext Evaluator::dot_plain(std::span<const Ciphertext* const> items,
                                std::span<const Plaintext* const> plaintexts) {
    check_uniform_items(items);
    if (items.size() != plaintexts.size())
        throw Error({"KK-N11", "as many plaintexts as ciphertexts are needed", "plaintexts",
                     std::to_string(plaintexts.size()), std::to_string(items.size()), ""});
    const Ciphertext& first = *items[0];
    bool all_zero = true;
    for (std::size_t i = 0; i < items.size(); ++i) {
        check_plain(first, *plaintexts[i], "plaintexts");
        check_same_scale(plaintexts[0]->scale, plaintexts[i]->scale, "plaintexts");
        if (items[i]->size != first.size)
            throw Error({"KK-N08", "ciphertexts have different numbers of polynomials", "items",
                         std::to_string(items[i]->size), std::to_string(first.size), "relinearize() them first"});
        all_zero = all_zero && plaintexts[i]->is_zero;
    }
    if (all_zero) throw transparent("plaintexts");
    const double scale = first.scale * plaintexts[0]->scale;
    check_product_scale(*context_, scale, first.level, "product of the scales");
    Ciphertext out(context_, first.size, first.level, scale);
    for_limbs(out, [&](int p, int l) {
        std::vector<ProductTerm> terms(items.size());
        for (std::size_t i = 0; i < items.size(); ++i) terms[i] = {items[i]->limb(p, l), plaintexts[i]->limb(l)};
        context_->kernels().dot(context_->modulus(l), out.limb(p, l), terms.data(), terms.size(), context_->n());
    });
    count(Count::kHmulPlain, items.size());
    count(Count::kHadd, items.size() - 1);
    return out;
}

std::vector<Ciphertext> Evaluator::linear_combination(std::span<const Ciphertext* const> items,
                                                      std::span<const double> weights, std::size_t outputs,
                                                      double weight_scale, const Plaintext* mask) {
    check_uniform_items(items);
    for (const Ciphertext* item : items) check_size_two(*item, "items", "relinearize() it first");
    if (outputs == 0 || weights.size() != outputs * items.size())
        throw Error({"KK-N11", "weights must have one row per output and one column per ciphertext", "weights",
                     std::to_string(weights.size()) + " values",
                     std::to_string(outputs) + " x " + std::to_string(items.size()), ""});
    const Ciphertext& first = *items[0];
    check_product_scale(*context_, weight_scale, first.level, "weight_scale");
    if (mask != nullptr) {
        check_plain(first, *mask, "mask");
        if (mask->is_zero) throw transparent("mask");
    }
    const double scale = first.scale * weight_scale * (mask != nullptr ? mask->scale : 1.0);
    check_product_scale(*context_, scale, first.level, "product of the scales");

    std::vector<i64> integers(weights.size());
    std::uint64_t terms = 0;
    for (std::size_t o = 0; o < outputs; ++o) {
        bool row_is_zero = true;
        for (std::size_t i = 0; i < items.size(); ++i) {
            const std::size_t at = o * items.size() + i;
            const auto where = [&] { return "weights[" + std::to_string(o) + "," + std::to_string(i) + "]"; };
            if (weights[at] == 0.0) continue;
            integers[at] = rounded_integer(weights[at] * weight_scale, 49, where());
            row_is_zero = row_is_zero && integers[at] == 0;
            ++terms;
        }
        if (row_is_zero) throw transparent("weights[" + std::to_string(o) + "]");
    }

    std::vector<Ciphertext> out;
    out.reserve(outputs);
    for (std::size_t o = 0; o < outputs; ++o) out.emplace_back(context_, 2, first.level, scale);
    // Outputs share every pass over the inputs, so only coefficients are split between threads, in ranges of whole
    // lines.
    const std::size_t n = context_->n();
    const std::size_t ranges = pool_.threads() > 1 ? std::max<std::size_t>(1, n / 1024) : 1;
    const auto limbs = static_cast<std::size_t>(first.level + 1);
    pool_.run(2 * limbs * ranges, [&](std::size_t task, std::size_t) {
        const int p = static_cast<int>(task / ranges / limbs);
        const int l = static_cast<int>(task / ranges % limbs);
        const std::size_t start = task % ranges * (n / ranges);
        std::vector<const u64*> inputs;
        std::vector<u64*> results;
        for (const Ciphertext* item : items) inputs.push_back(item->limb(p, l) + start);
        for (Ciphertext& result : out) results.push_back(result.limb(p, l) + start);
        context_->kernels().weighted_sum(context_->modulus(l), results.data(), outputs, inputs.data(), integers.data(),
                                         inputs.size(), n / ranges);
        if (mask == nullptr) return;
        for (u64* result : results)
            context_->kernels().multiply(context_->modulus(l), result, result, mask->limb(l) + start, n / ranges);
    });
    count(Count::kHmulPlain, terms);
    count(Count::kHadd, terms >= outputs ? terms - outputs : 0);
    if (mask != nullptr) count(Count::kMaskMultiply, outputs);
    return out;
}

}  // namespace kakuri::ckks
