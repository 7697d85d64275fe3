#include "serialize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "automorphism.hpp"
#include "checks.hpp"
#include "uniform.hpp"

namespace kakuri::ckks {

namespace {

constexpr std::uint16_t kConjugateInvariant = 1;  // parameters flag
constexpr std::uint16_t kSeeded = 1;              // ciphertext flag
constexpr std::uint16_t kHasRelinearization = 1;  // evaluation keys flag

Error malformed(const char* code, const char* what, const char* where, std::string got, std::string limit) {
    return Error({code, what, where, std::move(got), std::move(limit), "the bytes are damaged or of another kind"});
}

// Bytes of one polynomial over q_0 ... q_level.
std::size_t polynomial_bytes(const Context& context, int level) {
    std::size_t total = 0;
    for (int i = 0; i <= level; ++i) total += packed_bytes(context.n(), context.modulus(i).bits);
    return total;
}

std::size_t key_bytes(const Context& context, int level) {
    std::size_t per_digit = polynomial_bytes(context, level);
    for (int i = 0; i < context.special_count(); ++i)
        per_digit += packed_bytes(context.n(), context.modulus(context.special_index(i)).bits);
    return 8 + sizeof(Seed) + per_digit * static_cast<std::size_t>(context.digits_at(level));
}

std::size_t ciphertext_payload(const Context& context, int level, int size, bool seeded) {
    const std::size_t stored = static_cast<std::size_t>(size) - (seeded ? 1 : 0);
    return stored * polynomial_bytes(context, level) + (seeded ? sizeof(Seed) : 0);
}

std::size_t keys_payload(const EvaluationKeys& keys) {
    std::size_t total = keys.relinearization ? key_bytes(*keys.context, keys.relinearization->level) : 0;
    for (const auto& [step, key] : keys.rotations) total += key_bytes(*keys.context, key.level);
    return total;
}

int prime_of_slot(const Context& context, int level, int slot) {
    return slot <= level ? slot : context.special_index(slot - level - 1);
}

void write_key(Writer& out, const Context& context, int step, const KeySwitchKey& key) {
    out.put(static_cast<std::uint32_t>(step));
    out.put(static_cast<std::uint32_t>(key.level));
    out.bytes(key.seed);
    Buffer row(context.n());
    for (int slot = 0; slot <= key.level + context.special_count(); ++slot) {
        for (int d = 0; d < key.digits; ++d) {
            key.read(slot, d, 0, row.data());
            out.residues(row.data(), context.n(), context.modulus(prime_of_slot(context, key.level, slot)).bits);
        }
    }
}

// step and level were read and the key's bytes are known to be there.
KeySwitchKey read_key(Reader& in, const Context& context, int step, int level) {
    KeySwitchKey key(context, level);
    key.seed = in.seed();
    Buffer row(context.n());
    for (int slot = 0; slot <= level + context.special_count(); ++slot) {
        const int prime = prime_of_slot(context, level, slot);
        for (int d = 0; d < key.digits; ++d) {
            in.residues(row.data(), context.n(), context.modulus(prime));
            key.write(slot, d, 0, row.data());
            expand_uniform(context, key.seed, d, prime, row.data());
            key.write(slot, d, 1, row.data());
        }
    }
    if (step != 0) key.permutation = automorphism_permutation(galois_element(step, context.ring()), context.ring());
    return key;
}

}  // namespace

void Writer::header(const char* magic, std::uint16_t flags) {
    bytes({reinterpret_cast<const std::uint8_t*>(magic), 4});
    put(kFormatVersion);
    put(flags);
}

void Writer::residues(const u64* values, std::size_t n, int bits) {
    std::size_t at = out_.size();
    out_.resize(at + packed_bytes(n, bits));
    u64 pending = 0;
    int have = 0;  // bits in it, fewer than 64
    for (std::size_t i = 0; i < n; ++i) {
        pending |= values[i] << have;
        have += bits;
        if (have < 64) continue;
        std::memcpy(&out_[at], &pending, sizeof pending);
        at += sizeof pending;
        have -= 64;
        pending = values[i] >> (bits - have);
    }
    std::memcpy(out_.data() + at, &pending, static_cast<std::size_t>(have) / 8);
}

ByteSpan Reader::bytes(std::size_t count, const char* where) {
    if (count > rest_.size())
        throw malformed("KK-F41", "data ends too early", where, std::to_string(rest_.size()) + " bytes",
                        std::to_string(count) + " bytes");
    const ByteSpan out = rest_.first(count);
    rest_ = rest_.subspan(count);
    return out;
}

std::uint16_t Reader::header(const char* magic, std::uint16_t allowed_flags) {
    if (std::memcmp(bytes(4, "magic").data(), magic, 4) != 0)
        throw malformed("KK-F42", "data is of another kind", "magic", "", magic);
    const auto version = get<std::uint16_t>("version");
    if (version != kFormatVersion)
        throw Error({"KK-F43", "format version is not supported", "version", std::to_string(version),
                     std::to_string(kFormatVersion), "read it with the release that wrote it"});
    const auto flags = get<std::uint16_t>("flags");
    if ((flags & ~allowed_flags) != 0)
        throw malformed("KK-F45", "unknown flags are set", "flags", std::to_string(flags), "");
    return flags;
}

void Reader::digest(const Context& context) {
    if (std::memcmp(bytes(sizeof(Digest), "parameter digest").data(), context.digest().data(), sizeof(Digest)) != 0)
        throw Error({"KK-F44", "data belongs to other parameters", "parameter digest", "", "",
                     "load it with the parameters it was made with"});
}

void Reader::payload(u64 expected) {
    const u64 declared = get<u64>("payload length");
    if (declared != expected || remaining() != expected)
        throw malformed("KK-F41", "payload has the wrong length", "payload length",
                        std::to_string(declared) + " declared, " + std::to_string(remaining()) + " present",
                        std::to_string(expected) + " bytes");
}

Seed Reader::seed() {
    Seed seed;
    std::memcpy(seed.data(), bytes(seed.size(), "seed").data(), seed.size());
    return seed;
}

void Reader::residues(u64* values, std::size_t n, const Modulus& modulus) {
    constexpr std::size_t kGroup = 8;  // residues, which take `width` bytes
    const ByteSpan packed = bytes(packed_bytes(n, modulus.bits), "residues");
    const auto width = static_cast<std::size_t>(modulus.bits);
    const u64 mask = (u64{1} << modulus.bits) - 1;
    std::size_t byte[kGroup];
    int shift[kGroup];
    for (std::size_t k = 0; k < kGroup; ++k) {
        byte[k] = k * width / 8;
        shift[k] = static_cast<int>(k * width % 8);
    }
    u64 above = 0;  // the highest bit is set once a residue is above q - 1
    // Each residue lies within the eight bytes from its first one on. The last group is read from a copy with room behind
    // it.
    const auto group = [&](const std::uint8_t* in, u64* out) {
#pragma GCC unroll 8
        for (std::size_t k = 0; k < kGroup; ++k) {
            u64 word;
            std::memcpy(&word, in + byte[k], sizeof word);
            out[k] = word >> shift[k] & mask;
            above |= modulus.q - 1 - out[k];
        }
    };
    for (std::size_t i = 0; i + kGroup < n; i += kGroup) group(packed.data() + i / kGroup * width, values + i);
    std::uint8_t last[sizeof(u64) * kGroup + sizeof(u64)] = {};
    std::memcpy(last, packed.data() + (n - kGroup) / kGroup * width, width);
    group(last, values + n - kGroup);
    if (above >> 63 != 0)
        throw malformed("KK-F46", "a residue is not below its prime", "residues", "", std::to_string(modulus.q));
}

Bytes parameter_bytes(const ParameterLiteral& literal) {
    const std::size_t primes = literal.moduli.size() + literal.special_moduli.size();
    Writer out(kHeaderBytes + 16 + 8 * primes);
    out.header("KKPR", literal.ring == RingKind::kConjugateInvariant ? kConjugateInvariant : std::uint16_t{0});
    out.put(static_cast<std::uint32_t>(literal.log_n));
    out.put(static_cast<std::uint32_t>(literal.digits));
    out.put(static_cast<std::uint32_t>(literal.moduli.size()));
    out.put(static_cast<std::uint32_t>(literal.special_moduli.size()));
    for (u64 q : literal.moduli) out.put(q);
    for (u64 p : literal.special_moduli) out.put(p);
    return out.take();
}

ParameterLiteral parse_parameters(ByteSpan data) {
    Reader in(data);
    const bool folded = in.header("KKPR", kConjugateInvariant) != 0;
    const auto bounded = [&](const char* where, std::uint32_t limit) {
        const auto value = in.get<std::uint32_t>(where);
        if (value > limit)
            throw malformed("KK-F45", "field is out of range", where, std::to_string(value), std::to_string(limit));
        return value;
    };
    ParameterLiteral literal;
    literal.ring = folded ? RingKind::kConjugateInvariant : RingKind::kStandard;
    literal.log_n = static_cast<int>(bounded("log_n", kMaxLogN));
    literal.digits = static_cast<int>(bounded("digits", kMaxPrimes));
    const auto moduli = bounded("moduli", kMaxPrimes);
    const auto special = bounded("special moduli", kMaxPrimes);
    if (in.remaining() != 8 * (u64{moduli} + special))
        throw malformed("KK-F41", "data has the wrong length", "moduli", std::to_string(in.remaining()) + " bytes",
                        std::to_string(8 * (u64{moduli} + special)) + " bytes");
    for (std::uint32_t i = 0; i < moduli; ++i) literal.moduli.push_back(in.get<u64>("moduli"));
    for (std::uint32_t i = 0; i < special; ++i) literal.special_moduli.push_back(in.get<u64>("special moduli"));
    return literal;
}

std::size_t ciphertext_length(const Ciphertext& c) {
    return kBoundHeaderBytes + 24 + ciphertext_payload(*c.context, c.level, c.size, c.seed.has_value());
}

Bytes ciphertext_bytes(const Ciphertext& c) {
    Writer out(ciphertext_length(c));
    out.header("KKCT", c.seed ? kSeeded : std::uint16_t{0});
    out.bytes(c.context->digest());
    out.put(static_cast<std::uint32_t>(c.level));
    out.put(static_cast<std::uint32_t>(c.size));
    out.put(c.scale);
    out.put(static_cast<u64>(ciphertext_payload(*c.context, c.level, c.size, c.seed.has_value())));
    for (int p = 0; p < c.size; ++p) {
        if (p == 1 && c.seed) {
            out.bytes(*c.seed);
            continue;
        }
        for (int i = 0; i <= c.level; ++i) out.residues(c.limb(p, i), c.context->n(), c.context->modulus(i).bits);
    }
    return out.take();
}

Ciphertext parse_ciphertext(const ContextPtr& context, ByteSpan data) {
    Reader in(data);
    const bool seeded = in.header("KKCT", kSeeded) != 0;
    in.digest(*context);
    const auto level = in.get<std::uint32_t>("level");
    const auto size = in.get<std::uint32_t>("size");
    const auto scale = in.get<double>("scale");
    if (level > static_cast<std::uint32_t>(context->max_level()))
        throw malformed("KK-F45", "field is out of range", "level", std::to_string(level),
                        std::to_string(context->max_level()));
    if (size != 2 && (size != 3 || seeded))
        throw malformed("KK-F45", "field is out of range", "size", std::to_string(size), "2, or 3 without a seed");
    const int at_level = static_cast<int>(level);
    if (!std::isfinite(scale) || scale <= 0.0 || std::log2(scale) >= context->log_modulus(at_level))
        throw malformed("KK-F45", "field is out of range", "scale", text(scale),
                        "2^" + text(context->log_modulus(at_level)));
    in.payload(ciphertext_payload(*context, at_level, static_cast<int>(size), seeded));
    Ciphertext out(context, static_cast<int>(size), at_level, scale);
    for (int p = 0; p < out.size; ++p) {
        if (p == 1 && seeded) {
            out.seed = in.seed();
            for (int i = 0; i <= at_level; ++i) expand_uniform(*context, *out.seed, 0, i, out.limb(1, i));
            continue;
        }
        for (int i = 0; i <= at_level; ++i) in.residues(out.limb(p, i), context->n(), context->modulus(i));
    }
    return out;
}

Bytes public_key_bytes(const PublicKey& key) {
    const Context& context = *key.pair.context;
    const std::size_t payload = sizeof(Seed) + polynomial_bytes(context, context.max_level());
    Writer out(kBoundHeaderBytes + 8 + payload);
    out.header("KKPK", 0);
    out.bytes(context.digest());
    out.put(static_cast<u64>(payload));
    out.bytes(key.seed);
    for (int i = 0; i <= context.max_level(); ++i) out.residues(key.limb(0, i), context.n(), context.modulus(i).bits);
    return out.take();
}

PublicKey parse_public_key(const ContextPtr& context, ByteSpan data) {
    Reader in(data);
    in.header("KKPK", 0);
    in.digest(*context);
    in.payload(sizeof(Seed) + polynomial_bytes(*context, context->max_level()));
    PublicKey key(context);
    key.seed = in.seed();
    for (int i = 0; i <= context->max_level(); ++i) {
        in.residues(key.pair.limb(0, i), context->n(), context->modulus(i));
        expand_uniform(*context, key.seed, 0, i, key.pair.limb(1, i));
    }
    return key;
}

std::size_t evaluation_keys_length(const EvaluationKeys& keys) { return kBoundHeaderBytes + 16 + keys_payload(keys); }

std::size_t evaluation_keys_memory(const EvaluationKeys& keys) {
    std::size_t words = keys.relinearization ? keys.relinearization->words.size() : 0;
    std::size_t permutations = 0;
    for (const auto& [step, key] : keys.rotations) {
        words += key.words.size();
        permutations += key.permutation.size();
    }
    return words * sizeof(u64) + permutations * sizeof(std::uint32_t);
}

Bytes evaluation_keys_bytes(const EvaluationKeys& keys) {
    Writer out(evaluation_keys_length(keys));
    out.header("KKEK", keys.relinearization ? kHasRelinearization : std::uint16_t{0});
    out.bytes(keys.context->digest());
    out.put(static_cast<std::uint32_t>(keys.rotations.size()));
    out.put(std::uint32_t{0});
    out.put(static_cast<u64>(keys_payload(keys)));
    if (keys.relinearization) write_key(out, *keys.context, 0, *keys.relinearization);
    for (const auto& [step, key] : keys.rotations) write_key(out, *keys.context, step, key);
    return out.take();
}

EvaluationKeys parse_evaluation_keys(const ContextPtr& context, ByteSpan data) {
    Reader in(data);
    const bool relinearization = (in.header("KKEK", kHasRelinearization) & kHasRelinearization) != 0;
    in.digest(*context);
    const auto rotations = in.get<std::uint32_t>("rotations");
    if (rotations >= context->slots())
        throw malformed("KK-F45", "field is out of range", "rotations", std::to_string(rotations),
                        std::to_string(context->slots() - 1));
    if (const auto reserved = in.get<std::uint32_t>("reserved"); reserved != 0)
        throw malformed("KK-F45", "field is out of range", "reserved", std::to_string(reserved), "0");
    const u64 declared = in.get<u64>("payload length");
    if (declared != in.remaining())
        throw malformed("KK-F41", "payload has the wrong length", "payload length",
                        std::to_string(declared) + " declared", std::to_string(in.remaining()) + " present");
    const std::size_t count = rotations + (relinearization ? std::size_t{1} : 0);
    if (count != 0 && context->special_count() == 0)
        throw malformed("KK-F45", "keys for parameters without special moduli", "rotations", std::to_string(count),
                        "0");

    EvaluationKeys keys{context, {}, std::nullopt};
    std::uint32_t previous = 0;
    for (std::size_t k = 0; k < count; ++k) {
        const bool is_relinearization = relinearization && k == 0;
        const auto step = in.get<std::uint32_t>("step");
        const auto level = in.get<std::uint32_t>("key level");
        if (is_relinearization ? step != 0 : (step <= previous || step >= context->slots()))
            throw malformed("KK-F47", "keys are not in ascending order of step", "step", std::to_string(step), "");
        if (level > static_cast<std::uint32_t>(context->max_level()))
            throw malformed("KK-F45", "field is out of range", "key level", std::to_string(level),
                            std::to_string(context->max_level()));
        const std::size_t body = key_bytes(*context, static_cast<int>(level)) - 8;
        if (in.remaining() < body)
            throw malformed("KK-F41", "data ends too early", "key", std::to_string(in.remaining()) + " bytes",
                            std::to_string(body) + " bytes");
        KeySwitchKey key = read_key(in, *context, static_cast<int>(step), static_cast<int>(level));
        if (is_relinearization)
            keys.relinearization.emplace(std::move(key));
        else
            keys.rotations.emplace(static_cast<int>(step), std::move(key));
        previous = step;
    }
    if (in.remaining() != 0)
        throw malformed("KK-F41", "bytes are left over", "payload", std::to_string(in.remaining()) + " bytes", "0");
    return keys;
}

}  // namespace kakuri::ckks
