#include "parameters.hpp"

#include <algorithm>
#include <cmath>

#include "checks.hpp"
#include "primes.hpp"
#include "security.hpp"
#include "serialize.hpp"

namespace kakuri::ckks {

namespace {

void check_prime(const std::vector<u64>& earlier, u64 q, const Ring& ring, const std::string& where,
                 std::vector<Problem>& problems) {
    const auto refuse = [&](const char* what, std::string limit) {
        problems.push_back(
            {"KK-N02", what, where, std::to_string(q), std::move(limit), "ntt_primes() gives suitable primes"});
    };
    if (q >= u64{1} << kMaxModulusBits) return refuse("modulus is too large", "below 2^50");
    if (!is_prime(q)) return refuse("modulus is not prime", "");
    if (q % ring.order() != 1)
        return refuse(ring.folded() ? "modulus is not 1 mod 4N" : "modulus is not 1 mod 2N",
                      "N = " + std::to_string(ring.n()));
    if (std::find(earlier.begin(), earlier.end(), q) != earlier.end())
        return refuse("modulus is repeated", "distinct primes");
}

double checked_log_qp(const ParameterLiteral& literal, bool allow_insecure) {
    check_log_n(literal.log_n);
    std::vector<Problem> problems;
    if (literal.moduli.empty()) problems.push_back({"KK-N02", "no modulus given", "moduli", "0", "at least 1", ""});
    if (literal.moduli.size() + literal.special_moduli.size() > kMaxPrimes)
        throw Error({"KK-N02", "too many moduli", "moduli",
                     std::to_string(literal.moduli.size() + literal.special_moduli.size()), std::to_string(kMaxPrimes),
                     ""});
    const int limbs = static_cast<int>(literal.moduli.size());
    if (literal.digits < 1 || (literal.digits > limbs && limbs > 0))
        problems.push_back({"KK-N03", "number of key-switching digits is out of range", "digits",
                            std::to_string(literal.digits), "1 to " + std::to_string(limbs), ""});
    std::vector<u64> seen;
    double log_qp = 0;
    const auto visit = [&](const std::vector<u64>& primes, const std::string& name) {
        for (std::size_t i = 0; i < primes.size(); ++i) {
            check_prime(seen, primes[i], Ring{literal.log_n, literal.ring}, name + "[" + std::to_string(i) + "]", problems);
            seen.push_back(primes[i]);
            log_qp += primes[i] > 0 ? std::log2(static_cast<double>(primes[i])) : 0;
        }
    };
    visit(literal.moduli, "moduli");
    visit(literal.special_moduli, "special_moduli");
    const double limit = max_log_qp(literal.log_n);
    if (!allow_insecure && log_qp > limit)
        problems.push_back(
            {"KK-N04", "parameters give less than 128-bit security", "log2(Q P)", text(log_qp), text(limit),
             "use a larger ring (log_n=" + std::to_string(literal.log_n + 1) + ") or fewer, smaller moduli"});
    if (!problems.empty()) throw Error(std::move(problems));
    return log_qp;
}

std::vector<int> range(int begin, int count) {
    std::vector<int> out;
    for (int i = 0; i < count; ++i) out.push_back(begin + i);
    return out;
}

}  // namespace

Context::Context(ParameterLiteral literal, bool allow_insecure, std::shared_ptr<Host> host)
    : literal_(std::move(literal)),
      host_(std::move(host)),
      log_qp_(checked_log_qp(literal_, allow_insecure)),
      security_bits_(log_qp_ <= max_log_qp(literal_.log_n) ? kSecurityBits : 0),
      encoder_(ring()) {
    const int limbs = max_level() + 1;
    alpha_ = (limbs + literal_.digits - 1) / literal_.digits;
    const Bytes described = parameter_bytes(literal_);
    const ByteSpan parts[] = {described};
    digest_ = host_->sha256(parts);
    double log_modulus = 0;
    for (const std::vector<u64>* primes : {&literal_.moduli, &literal_.special_moduli}) {
        for (u64 q : *primes) {
            moduli_.emplace_back(q);
            tables_.push_back(std::make_unique<NttTables>(ring(), q));
            log_modulus += std::log2(static_cast<double>(q));
            if (primes == &literal_.moduli) log_modulus_.push_back(log_modulus);
        }
    }
    for (int digit = 0; digit < digits_at(max_level()); ++digit)
        for (int size = 1; size <= alpha_; ++size)
            digit_conversions_.push_back(
                size <= digit_size(digit, max_level())
                    ? std::make_unique<BaseConversion>(moduli_, range(digit_begin(digit), size))
                    : nullptr);
    if (special_count() > 0)
        special_conversion_ = std::make_unique<BaseConversion>(moduli_, range(special_index(0), special_count()));
    for (int level = 0; level < limbs; ++level)
        rescale_conversions_.push_back(std::make_unique<BaseConversion>(moduli_, std::vector<int>{level}));
    for (int level = 0; special_count() > 0 && level < limbs; ++level) {
        for (int rescale = 1; rescale <= kMaxFusedRescales; ++rescale) {
            std::vector<int> sources = range(level - rescale + 1, rescale);
            for (int i = 0; i < special_count(); ++i) sources.push_back(special_index(i));
            divisions_.push_back(rescale <= level ? std::make_unique<BaseConversion>(moduli_, std::move(sources))
                                                  : nullptr);
        }
    }
}

void Context::to_ntt(int i, u64* x) const {
    const Modulus& m = modulus(i);
    if (ring().folded()) kernels().fold(m, x, Factor(m.negate(ntt(i).unit()), m.q), n());
    kernels().forward(ntt(i), x);
}

// b_i + I b_(N-i) = 2 a_i for i > 0, and b_0 = a_0.
void Context::from_ntt(int i, u64* x, u64 factor) const {
    const Modulus& m = modulus(i);
    if (!ring().folded()) return kernels().inverse(ntt(i), x, factor);
    kernels().inverse(ntt(i), x, m.multiply(factor, (m.q + 1) / 2));
    kernels().fold(m, x, Factor(ntt(i).unit(), m.q), n());
    x[0] = m.add(x[0], x[0]);
}

int Context::digit_size(int digit, int level) const { return std::min(alpha_, level + 1 - digit_begin(digit)); }

const BaseConversion& Context::digit_conversion(int digit, int level) const {
    return *digit_conversions_[static_cast<std::size_t>(digit * alpha_ + digit_size(digit, level) - 1)];
}

void check_same_parameters(const Context& a, const Context& b, const char* where) {
    if (&a != &b && a.digest() != b.digest())
        throw Error(
            {"KK-N10", "operand belongs to other parameters", where, "", "", "use one Parameters object throughout"});
}

}  // namespace kakuri::ckks
