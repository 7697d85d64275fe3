// Purpose: run under valgrind (memcheck) with every secret byte marked undefined. Any branch or address that depends
//   on a secret is then an error report. Secret bytes are the whole secret stream: key, blinding polynomial and noise
//   come from it.
// Usage: constant_time [leaky]. "leaky" adds a branch on a secret coefficient, which the caller must see reported.
// Does not check: division and other variable-latency instructions (the code has none on secrets: read secret.cpp),
//   and the rounding of decrypted values, which the caller sees in the clear.
// Exit: 77 when built without valgrind's header.
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define KAKURI_HAS_MEMCHECK 1
#else
#define KAKURI_HAS_MEMCHECK 0
#define VALGRIND_MAKE_MEM_UNDEFINED(address, length) static_cast<void>(0)
#define VALGRIND_MAKE_MEM_DEFINED(address, length) static_cast<void>(0)
#endif

#include <cstdio>
#include <string_view>

#include "secret.hpp"
#include "test_host.hpp"

using namespace kakuri::ckks;

namespace {

class TaintingHost : public test::TestHost {
public:
    void expand(const Seed& seed, StreamId id, std::uint32_t block, std::span<std::uint8_t> out) const override {
        TestHost::expand(seed, id, block, out);
        if (id.domain == kSecretDomain) VALGRIND_MAKE_MEM_UNDEFINED(out.data(), out.size());
    }
};

void publish(Ciphertext& ciphertext) {
    VALGRIND_MAKE_MEM_DEFINED(ciphertext.words.data(), ciphertext.words.size() * sizeof(u64));
}

// All secret operations; returns a value computed from their results, so that nothing is optimised away.
double exercise(const std::shared_ptr<TaintingHost>& host, RingKind ring) {
    const ContextPtr context = test::make_context(6, {50, 40, 40, 49, 50}, 2, 2, host, ring);
    const SecretKey key = SecretKey::generate(context);
    const PublicKey public_key = key.public_key();
    const EvaluationKeys keys = key.evaluation_keys({{1, 2}, {5, 1}}, 2);
    const std::vector<double> values(context->slots(), 0.25);
    const Plaintext plaintext = encode(context, values, 0x1p30, 2);
    Ciphertext symmetric = key.encrypt(plaintext);
    Ciphertext asymmetric = encrypt(public_key, plaintext);
    publish(symmetric);
    publish(asymmetric);
    const Bytes packed = key.bytes();

    double sum = 0;
    Ciphertext product(context, 3, 2, 0x1p60);
    std::memcpy(product.limb(0, 0), symmetric.limb(0, 0), symmetric.words.size() * sizeof(u64));
    std::memcpy(product.limb(2, 0), asymmetric.limb(1, 0), asymmetric.words.size() / 2 * sizeof(u64));
    for (const Ciphertext* ciphertext : {&symmetric, &asymmetric, &product}) {
        const std::vector<long double> integers = key.decrypted_coefficients(*ciphertext);
        std::vector<double> coefficients(context->n());
        for (std::size_t i = 0; i < coefficients.size(); ++i)
            coefficients[i] = static_cast<double>(integers[i]) * 0x1p-30;
        std::vector<double> slots(context->slots());
        context->encoder().to_slots(coefficients, slots);
        for (double value : slots) sum += value;
    }
    volatile std::uint8_t byte = packed.back();
    volatile u64 word = keys.rotations.at(1).stream(0)[0];
    static_cast<void>(byte);
    static_cast<void>(word);
    return sum;
}

// What the check must catch: a sampler that branches on the random word.
__attribute__((noinline)) int leaky_sample(const std::shared_ptr<TaintingHost>& host) {
    SecretStream stream(*host);
    SecretArray<u64> words(64);
    stream.fill(words);
    ternary_from_words(words);
    volatile int ones = 0;
    for (std::size_t i = 0; i < words.size(); ++i)
        if (words[i] == 1) ones = ones + 1;
    return ones;
}

}  // namespace

int main(int argc, char** argv) {
    if (!KAKURI_HAS_MEMCHECK) return 77;
    const auto host = std::make_shared<TaintingHost>();
    for (const std::string& path : KernelSelection::available()) {
        host->selection().select(path);
        double sum = exercise(host, RingKind::kStandard) + exercise(host, RingKind::kConjugateInvariant);
        VALGRIND_MAKE_MEM_DEFINED(&sum, sizeof sum);
        std::printf("%s ran\n", path.c_str());
    }
    if (argc > 1 && std::string_view(argv[1]) == "leaky") {
        int ones = leaky_sample(host);
        VALGRIND_MAKE_MEM_DEFINED(&ones, sizeof ones);
        std::printf("leaky ran\n");
    }
    return 0;
}
