// Purpose: checked, frozen CKKS parameters and every table that follows from them.
// Guarantees: a Context exists only for distinct primes that are 1 mod 2N and, unless allow_insecure, only when
//   log2(Q P) <= max_log_qp(log_n). Immutable and safe to share between threads.
// Does not guarantee: that a circuit fits its levels, or that P is large enough for a wanted key-switching noise.
#pragma once

#include <memory>
#include <vector>

#include "base_convert.hpp"
#include "encoder.hpp"
#include "host.hpp"

namespace kakuri::ckks {

inline constexpr std::size_t kMaxPrimes = kMaxSources;
inline constexpr int kMaxFusedRescales = 2;

struct ParameterLiteral {
    int log_n = 0;
    std::vector<u64> moduli;
    std::vector<u64> special_moduli;
    int digits = 1;
    RingKind ring = RingKind::kStandard;
};

class Context {
public:
    // Throws KK-N01 .. KK-N04, all problems together.
    Context(ParameterLiteral literal, bool allow_insecure, std::shared_ptr<Host> host);

    const ParameterLiteral& literal() const { return literal_; }
    int log_n() const { return literal_.log_n; }
    std::size_t n() const { return std::size_t{1} << literal_.log_n; }
    Ring ring() const { return {literal_.log_n, literal_.ring}; }
    std::size_t slots() const { return ring().slots(); }
    int max_level() const { return static_cast<int>(literal_.moduli.size()) - 1; }
    int special_count() const { return static_cast<int>(literal_.special_moduli.size()); }
    double log_qp() const { return log_qp_; }
    int security_bits() const { return security_bits_; }
    const Digest& digest() const { return digest_; }
    const Kernels& kernels() const { return host_->kernels(); }
    Host& host() const { return *host_; }

    // Prime number i: q_0 ... q_L, then the special primes.
    const Modulus& modulus(int i) const { return moduli_[static_cast<std::size_t>(i)]; }
    const NttTables& ntt(int i) const { return *tables_[static_cast<std::size_t>(i)]; }
    // Coefficients to NTT form modulo prime number i, and back with a factor. In place.
    void to_ntt(int i, u64* x) const;
    void from_ntt(int i, u64* x, u64 factor) const;
    int special_index(int i) const { return max_level() + 1 + i; }
    // log2(q_0 ... q_level)
    double log_modulus(int level) const { return log_modulus_[static_cast<std::size_t>(level)]; }

    // Limbs per key-switching digit, digits in use at a level, and the first limb and limb count of one of them there.
    int alpha() const { return alpha_; }
    int digits_at(int level) const { return level / alpha_ + 1; }
    int digit_begin(int digit) const { return digit * alpha_; }
    int digit_size(int digit, int level) const;

    // From the limbs of a digit (as many as the level has) to all other primes.
    const BaseConversion& digit_conversion(int digit, int level) const;
    const BaseConversion& special_conversion() const { return *special_conversion_; }
    // By P and the top `rescale` primes of a level, 0 <= rescale <= min(level, kMaxFusedRescales), in the order of an
    // extended polynomial's slots (keyswitch.hpp).
    const BaseConversion& division(int level, int rescale) const {
        return rescale == 0 ? *special_conversion_
                            : *divisions_[static_cast<std::size_t>(level * kMaxFusedRescales + rescale - 1)];
    }
    const BaseConversion& rescale_conversion(int level) const {
        return *rescale_conversions_[static_cast<std::size_t>(level)];
    }

    const Encoder& encoder() const { return encoder_; }
    // Where ciphertexts and plaintexts take their memory from.
    const std::shared_ptr<BufferPool>& pool() const { return pool_; }

private:
    ParameterLiteral literal_;
    std::shared_ptr<Host> host_;
    double log_qp_ = 0;
    int security_bits_ = 0;
    int alpha_ = 1;
    Digest digest_{};
    Encoder encoder_;
    std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
    std::vector<Modulus> moduli_;
    std::vector<std::unique_ptr<NttTables>> tables_;
    std::vector<double> log_modulus_;
    std::vector<std::unique_ptr<BaseConversion>> digit_conversions_;  // [digit * alpha + size - 1]
    std::unique_ptr<BaseConversion> special_conversion_;
    std::vector<std::unique_ptr<BaseConversion>> rescale_conversions_;
    std::vector<std::unique_ptr<BaseConversion>> divisions_;  // [level * kMaxFusedRescales + rescale - 1]
};

using ContextPtr = std::shared_ptr<const Context>;

// Throws KK-N10 when the two name different parameters.
void check_same_parameters(const Context& a, const Context& b, const char* where);

}  // namespace kakuri::ckks
