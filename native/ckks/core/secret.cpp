#include "secret.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "automorphism.hpp"
#include "checks.hpp"
#include "uniform.hpp"

namespace kakuri::ckks {

namespace {

// round(2^63 P(|X| <= k)), k = 0 .. 19, for the discrete Gaussian of sigma 3.19 on |x| <= 20.
constexpr u64 kGaussianThresholds[] = {
    0x1001f9a1ba615f65, 0x2e7cf3ef1d8d8029, 0x48ca7e85fab70023, 0x5d5d5177bbb950b4, 0x6bf355988831a89e,
    0x7552dc90b81adade, 0x7ac882059bda8047, 0x7daa65968ddf0977, 0x7f0b8114f7dfdd71, 0x7fa4a9fc9b290206,
    0x7fe0e107b78f5246, 0x7ff6563fbdb95b3e, 0x7ffd4490d6495431, 0x7fff4c08417bbd4f, 0x7fffd5e1cb2ea054,
    0x7ffff70a032898e2, 0x7ffffe449927e8cd, 0x7fffffb24c297f59, 0x7ffffff3ccebfd8b, 0x7ffffffe6f5f4750,
};

// Small two's complement integers to residues: x + q where x is negative.
void to_residues(u64* out, const u64* small, std::size_t n, u64 q) {
    for (std::size_t i = 0; i < n; ++i) out[i] = small[i] + (q & (u64{0} - (small[i] >> 63)));
}

// 0, 1, 2 -> 0, 1, -1 as two's complement.
u64 centred_ternary(u64 t) { return t - (3 & (u64{0} - (t >> 1))); }

class SmallPolynomial {
public:
    SmallPolynomial(const Context& context, SecretStream& stream, void (*shape)(SecretArray<u64>&))
        : context_(context), coefficients_(context.n()) {
        stream.fill(coefficients_);
        shape(coefficients_);
    }
    // NTT form modulo one prime.
    void expand(int prime, u64* out) const {
        to_residues(out, coefficients_.data(), context_.n(), context_.modulus(prime).q);
        context_.to_ntt(prime, out);
    }

private:
    const Context& context_;
    SecretArray<u64> coefficients_;
};

void centred_ternary_from_words(SecretArray<u64>& words) {
    ternary_from_words(words);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = centred_ternary(words[i]);
}

template <class T>
void wipe(std::vector<T>& values) {
    ::explicit_bzero(values.data(), values.size() * sizeof(T));
}

void check_level_and_special(const Context& context, int level, const std::string& where) {
    check_level(level, context.max_level(), where.c_str());
    if (context.special_count() == 0)
        throw Error({"KK-N03", "parameters have no special modulus, so no key switching", "special_moduli", "0",
                     "at least 1", "add a special modulus at least as large as a digit"});
}

}  // namespace

SecretStream::SecretStream(const Host& host) : host_(host), seed_(operating_system_seed()) {}

SecretStream::~SecretStream() { ::explicit_bzero(seed_.data(), seed_.size()); }

void SecretStream::fill(SecretArray<u64>& words) {
    host_.expand(seed_, {stream_++, kSecretDomain}, 0,
                 {reinterpret_cast<std::uint8_t*>(words.data()), words.size() * sizeof(u64)});
}

void ternary_from_words(SecretArray<u64>& words) {
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = multiply_high(words[i], 3);
}

void gaussian_from_words(SecretArray<u64>& words) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        const u64 uniform = words[i] >> 1;
        const u64 sign = u64{0} - (words[i] & 1);
        u64 size = 0;
        for (u64 threshold : kGaussianThresholds) size += 1 - ((uniform - threshold) >> 63);  // uniform >= threshold
        words[i] = (size ^ sign) - sign;
    }
}

SecretKey::SecretKey(ContextPtr context)
    : context_(std::move(context)),
      ternary_(context_->n()),
      ntt_(context_->n() * static_cast<std::size_t>(context_->max_level() + 1 + context_->special_count())) {}

SecretKey SecretKey::generate(ContextPtr context) {
    SecretKey key(std::move(context));
    SecretStream stream(key.context_->host());
    stream.fill(key.ternary_);
    ternary_from_words(key.ternary_);
    key.expand();
    return key;
}

void SecretKey::expand() {
    const std::size_t n = context_->n();
    SecretArray<u64> small(n);
    for (std::size_t i = 0; i < n; ++i) small[i] = centred_ternary(ternary_[i]);
    for (int p = 0; p < context_->max_level() + 1 + context_->special_count(); ++p) {
        u64* out = ntt_.data() + static_cast<std::size_t>(p) * n;
        to_residues(out, small.data(), n, context_->modulus(p).q);
        context_->to_ntt(p, out);
    }
}

Bytes SecretKey::bytes() const {
    const std::size_t payload = context_->n() / 4;
    Writer out(kBoundHeaderBytes + 8 + payload);
    out.header("KKSK", 0);
    out.bytes(context_->digest());
    out.put(static_cast<u64>(payload));
    for (std::size_t i = 0; i < context_->n(); i += 4)
        out.put(static_cast<std::uint8_t>(ternary_[i] | ternary_[i + 1] << 2 | ternary_[i + 2] << 4 |
                                          ternary_[i + 3] << 6));
    return out.take();
}

SecretKey SecretKey::parse(const ContextPtr& context, ByteSpan data) {
    Reader in(data);
    in.header("KKSK", 0);
    in.digest(*context);
    in.payload(context->n() / 4);
    SecretKey key(context);
    const ByteSpan packed = in.bytes(context->n() / 4, "coefficients");
    u64 invalid = 0;
    for (std::size_t i = 0; i < context->n(); ++i) {
        const u64 t = (packed[i / 4] >> (2 * (i % 4))) & 3;
        invalid |= t & (t >> 1);
        key.ternary_[i] = t;
    }
    if (invalid != 0)
        throw Error({"KK-F46", "a coefficient is not ternary", "coefficients", "", "",
                     "the bytes are damaged or of another kind"});
    key.expand();
    return key;
}

PublicKey SecretKey::public_key() const {
    PublicKey key(context_);
    key.seed = operating_system_seed();
    SecretStream stream(context_->host());
    const SmallPolynomial noise(*context_, stream, gaussian_from_words);
    const std::size_t n = context_->n();
    SecretArray<u64> e(n);
    for (int i = 0; i <= context_->max_level(); ++i) {
        const Modulus& m = context_->modulus(i);
        expand_uniform(*context_, key.seed, 0, i, key.pair.limb(1, i));
        noise.expand(i, e.data());
        context_->kernels().multiply(m, key.pair.limb(0, i), key.pair.limb(1, i), limb(i), n);
        context_->kernels().subtract(m, key.pair.limb(0, i), e.data(), key.pair.limb(0, i), n);
    }
    return key;
}

// For the secret s' = automorphism(s), or s^2 when galois is 0.
KeySwitchKey SecretKey::key_switch_key(int level, u64 galois, SecretStream& stream) const {
    const Context& context = *context_;
    const Kernels& kernels = context.kernels();
    const std::size_t n = context.n();
    KeySwitchKey key(context, level);
    key.seed = operating_system_seed();
    if (galois != 0) key.permutation = automorphism_permutation(galois, context.ring());
    SecretArray<u64> noise(n);
    SecretArray<u64> gadget(n);
    Buffer row(2 * n);
    u64* b = row.data();
    u64* a = b + n;
    for (int digit = 0; digit < key.digits; ++digit) {
        const SmallPolynomial e(context, stream, gaussian_from_words);
        const int begin = context.digit_begin(digit);
        for (int slot = 0; slot <= level + context.special_count(); ++slot) {
            const int prime = slot <= level ? slot : context.special_index(slot - level - 1);
            const Modulus& m = context.modulus(prime);
            expand_uniform(context, key.seed, digit, prime, a);
            e.expand(prime, noise.data());
            kernels.multiply(m, b, a, limb(prime), n);
            kernels.subtract(m, b, noise.data(), b, n);
            if (slot >= begin && slot < begin + context.digit_size(digit, level)) {
                if (galois == 0)
                    kernels.multiply(m, gadget.data(), limb(prime), limb(prime), n);
                else
                    kernels.permute(gadget.data(), limb(prime), key.permutation.data(), n);
                const Factor special(context.special_conversion().product(prime), m.q);
                kernels.multiply_scalar(m, gadget.data(), gadget.data(), special, n);
                kernels.add(m, b, b, gadget.data(), n);
            }
            key.write(slot, digit, 0, b);
            key.write(slot, digit, 1, a);
        }
    }
    return key;
}

EvaluationKeys SecretKey::evaluation_keys(const std::map<long long, int>& rotations, int relinearization_level) const {
    std::map<int, int> levels;
    for (const auto& [step, level] : rotations) {
        check_level_and_special(*context_, level, "rotation key for step " + std::to_string(step));
        const int normal = normalised_step(step, context_->ring());
        if (normal != 0) levels[normal] = std::max(levels[normal], level);
    }
    if (relinearization_level >= 0) check_level_and_special(*context_, relinearization_level, "relinearization_level");
    SecretStream stream(context_->host());
    EvaluationKeys keys{context_, {}, std::nullopt};
    if (relinearization_level >= 0) keys.relinearization.emplace(key_switch_key(relinearization_level, 0, stream));
    for (const auto& [step, level] : levels)
        keys.rotations.emplace(step, key_switch_key(level, galois_element(step, context_->ring()), stream));
    return keys;
}

Ciphertext SecretKey::encrypt(const Plaintext& plaintext) const {
    check_same_parameters(*context_, *plaintext.context, "plaintext");
    Ciphertext out(context_, 2, plaintext.level, plaintext.scale);
    out.seed = operating_system_seed();
    SecretStream stream(context_->host());
    const SmallPolynomial noise(*context_, stream, gaussian_from_words);
    const Kernels& kernels = context_->kernels();
    const std::size_t n = context_->n();
    SecretArray<u64> e(n);
    SecretArray<u64> mask(n);
    for (int i = 0; i <= out.level; ++i) {
        const Modulus& m = context_->modulus(i);
        expand_uniform(*context_, *out.seed, 0, i, out.limb(1, i));
        noise.expand(i, e.data());
        kernels.add(m, e.data(), e.data(), plaintext.limb(i), n);
        kernels.multiply(m, mask.data(), out.limb(1, i), limb(i), n);
        kernels.subtract(m, out.limb(0, i), e.data(), mask.data(), n);
    }
    return out;
}

Ciphertext encrypt(const PublicKey& key, const Plaintext& plaintext) {
    const ContextPtr& context = key.pair.context;
    check_same_parameters(*context, *plaintext.context, "plaintext");
    SecretStream stream(context->host());
    const SmallPolynomial u(*context, stream, centred_ternary_from_words);
    const SmallPolynomial e0(*context, stream, gaussian_from_words);
    const SmallPolynomial e1(*context, stream, gaussian_from_words);
    const Kernels& kernels = context->kernels();
    const std::size_t n = context->n();
    Ciphertext out(context, 2, plaintext.level, plaintext.scale);
    SecretArray<u64> blind(n);
    SecretArray<u64> e(n);
    SecretArray<u64> product(n);
    for (int i = 0; i <= out.level; ++i) {
        const Modulus& m = context->modulus(i);
        u.expand(i, blind.data());
        e0.expand(i, e.data());
        kernels.add(m, e.data(), e.data(), plaintext.limb(i), n);
        kernels.multiply(m, product.data(), key.limb(0, i), blind.data(), n);
        kernels.add(m, out.limb(0, i), product.data(), e.data(), n);
        e1.expand(i, e.data());
        kernels.multiply(m, product.data(), key.limb(1, i), blind.data(), n);
        kernels.add(m, out.limb(1, i), product.data(), e.data(), n);
    }
    return out;
}

std::vector<long double> SecretKey::decrypted_coefficients(const Ciphertext& ciphertext) const {
    const Kernels& kernels = context_->kernels();
    const std::size_t n = context_->n();
    SecretArray<u64> message(n * static_cast<std::size_t>(ciphertext.level + 1));
    for (int i = 0; i <= ciphertext.level; ++i) {
        // Horner in s: ((c2 s) + c1) s + c0.
        const Modulus& m = context_->modulus(i);
        u64* out = message.data() + static_cast<std::size_t>(i) * n;
        std::memcpy(out, ciphertext.limb(ciphertext.size - 1, i), n * sizeof(u64));
        for (int p = ciphertext.size - 2; p >= 0; --p) {
            kernels.multiply(m, out, out, limb(i), n);
            kernels.add(m, out, out, ciphertext.limb(p, i), n);
        }
        context_->from_ntt(i, out, 1);
    }
    return centred_coefficients(*context_, message.data(), ciphertext.level);
}

std::vector<double> SecretKey::decrypt(const Ciphertext& ciphertext, double precision_bits,
                                       double flooding_bits) const {
    check_same_parameters(*context_, *ciphertext.context, "ciphertext");
    check_scale(ciphertext.scale, context_->log_modulus(ciphertext.level), "ciphertext");
    if (!(precision_bits >= -64 && precision_bits <= 64))
        throw Error({"KK-N15", "precision is out of range", "precision_bits", text(precision_bits), "-64 to 64", ""});
    if (!(flooding_bits <= context_->log_modulus(ciphertext.level)))
        throw Error({"KK-N15", "flooding noise does not fit the modulus", "flooding_bits", text(flooding_bits),
                     text(context_->log_modulus(ciphertext.level)), ""});
    const std::size_t n = context_->n();
    std::vector<long double> integers = decrypted_coefficients(ciphertext);
    if (flooding_bits >= 0) {
        // Box and Muller, 1958: a pair of normals from two uniforms in (0, 1].
        SecretArray<u64> words(n);
        SecretStream stream(context_->host());
        stream.fill(words);
        const double sigma = std::exp2(flooding_bits);
        for (std::size_t i = 0; i < n; i += 2) {
            const double radius = sigma * std::sqrt(-2 * std::log((static_cast<double>(words[i] >> 11) + 1) * 0x1p-53));
            const double angle = 2 * std::numbers::pi * static_cast<double>(words[i + 1] >> 11) * 0x1p-53;
            integers[i] += static_cast<long double>(radius * std::cos(angle));
            integers[i + 1] += static_cast<long double>(radius * std::sin(angle));
        }
    }
    std::vector<double> coefficients(n);
    for (std::size_t i = 0; i < n; ++i)
        coefficients[i] = static_cast<double>(integers[i] / static_cast<long double>(ciphertext.scale));
    std::vector<double> values(context_->slots());
    context_->encoder().to_slots(coefficients, values);
    const double steps = std::exp2(precision_bits);
    for (double& value : values) value = std::nearbyint(value * steps) / steps;
    wipe(integers);
    wipe(coefficients);
    return values;
}

}  // namespace kakuri::ckks
