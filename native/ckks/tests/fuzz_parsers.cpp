// Purpose: mutated inputs against every parser, meant for a build with address and undefined-behaviour sanitizers.
// Usage: fuzz_parsers ROUNDS. Every round mutates one valid object of each kind. Exit 1 when a parser accepts bytes
//   that it would not write itself, or throws anything but Error.
#include <cstdio>
#include <functional>
#include <string>

#include "diagonals.hpp"
#include "secret.hpp"
#include "test_host.hpp"

using namespace kakuri::ckks;

namespace {

Bytes mutated(Bytes data, test::Random& random) {
    const auto position = [&](std::size_t limit) { return static_cast<std::size_t>(random.below(limit)); };
    switch (random.below(6)) {
        case 0:  // cut
            data.resize(position(data.size()));
            break;
        case 1:  // extend
            for (u64 i = random.below(64) + 1; i > 0; --i) data.push_back(static_cast<std::uint8_t>(random.next()));
            break;
        case 2: {  // a header word at an extreme
            const std::size_t at = position(std::min<std::size_t>(data.size() - 4, 72));
            const std::uint32_t extremes[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 64};
            std::memcpy(data.data() + at, &extremes[random.below(6)], 4);
            break;
        }
        case 3:  // a header byte
            data[position(std::min<std::size_t>(data.size(), 72))] = static_cast<std::uint8_t>(random.next());
            break;
        default:  // flipped bits anywhere
            for (u64 i = random.below(4) + 1; i > 0; --i)
                data[position(data.size())] ^= static_cast<std::uint8_t>(1u << random.below(8));
    }
    return data;
}

struct Target {
    std::string name;
    Bytes valid;
    std::function<Bytes(ByteSpan)> round_trip;
};

}  // namespace

int main(int argc, char** argv) {
    const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 10000;
    const auto host = std::make_shared<test::TestHost>();
    const ContextPtr context = test::make_context(5, {30, 25, 20, 31}, 1, 2, host);
    const SecretKey key = SecretKey::generate(context);
    const Plaintext plaintext = encode(context, std::vector<double>{1, -2, 3}, 0x1p15, 2);
    ThreadPool pool(1);
    const std::vector<double> values = {1, -2, 3};
    const DiagonalEntry entries[] = {{0, 0, 0, 0, values}, {0, 3, 0, 1, values}, {1, 0, 0, 1, values}};
    const Diagonals diagonals = Diagonals::encode(context, 1, 0x1p15, 1, 2, entries, pool);
    const std::vector<Target> targets = {
        {"parameters", parameter_bytes(context->literal()),
         [&](ByteSpan data) { return parameter_bytes(Context(parse_parameters(data), true, host).literal()); }},
        {"seeded ciphertext", ciphertext_bytes(key.encrypt(plaintext)),
         [&](ByteSpan data) { return ciphertext_bytes(parse_ciphertext(context, data)); }},
        {"ciphertext", ciphertext_bytes(encrypt(key.public_key(), plaintext)),
         [&](ByteSpan data) { return ciphertext_bytes(parse_ciphertext(context, data)); }},
        {"public key", public_key_bytes(key.public_key()),
         [&](ByteSpan data) { return public_key_bytes(parse_public_key(context, data)); }},
        {"evaluation keys", evaluation_keys_bytes(key.evaluation_keys({{1, 2}, {3, 1}}, 1)),
         [&](ByteSpan data) { return evaluation_keys_bytes(parse_evaluation_keys(context, data)); }},
        {"diagonals", diagonals.bytes(),
         [&](ByteSpan data) {
             Mapping copy = Mapping::anonymous(data.size());
             if (!data.empty()) std::memcpy(copy.data(), data.data(), data.size());
             return Diagonals::parse(context, std::move(copy)).bytes();
         }},
        {"secret key", key.bytes(), [&](ByteSpan data) { return SecretKey::parse(context, data).bytes(); }},
    };
    test::Random random(1);
    int failures = 0;
    for (const Target& target : targets) {
        long accepted = 0;
        for (long i = 0; i < rounds; ++i) {
            Bytes data = mutated(target.valid, random);
            // A right hash every other time, so that the checks behind it are reached.
            if (target.name == "diagonals" && i % 2 != 0 && data.size() > sizeof(Digest)) {
                const ByteSpan content[] = {ByteSpan(data).first(data.size() - sizeof(Digest))};
                const Digest digest = host->sha256(content);
                std::memcpy(data.data() + data.size() - sizeof(Digest), digest.data(), sizeof(Digest));
            }
            try {
                if (target.round_trip(data) != data) ++failures;
                ++accepted;
            } catch (const Error&) {
            }
        }
        std::printf("%s: %ld inputs, %ld accepted\n", target.name.c_str(), rounds, accepted);
    }
    return failures == 0 ? 0 : 1;
}
