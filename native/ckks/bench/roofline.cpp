// Purpose: the machine's limits beside what the kernel reaches: memory streaming, modular multiply-adds, butterflies.
// Usage: roofline [log_n [limbs [special [digits]]]]. Every figure is the fastest of many short runs of this thread's CPU
//   time, on the path that was chosen for the processor; bytes and products per operation are counted, not measured.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>

#include "../tests/test_host.hpp"
#include "evaluator.hpp"
#include "secret.hpp"

using namespace kakuri::ckks;

namespace {

double seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double fastest(int runs, const std::function<void()>& body) {
    double best = 1e9;
    for (int i = 0; i < runs; ++i) {
        const double start = seconds();
        body();
        best = std::min(best, seconds() - start);
    }
    return best;
}

// Bytes per second of one thread reading memory far larger than the caches.
double streaming() {
    constexpr std::size_t kWords = std::size_t{1} << 25;
    Mapping memory = Mapping::anonymous(kWords * sizeof(u64));
    u64* words = reinterpret_cast<u64*>(memory.data());
    std::iota(words, words + kWords, u64{0});
    u64 total = 0;
    const double time = fastest(7, [&] {
        u64 sums[8] = {};
        for (std::size_t i = 0; i < kWords; i += 64) {
            __builtin_prefetch(words + i + 512);
            for (std::size_t k = 0; k < 8; ++k) sums[k] += words[i + 8 * k];  // one word of every line
        }
        for (u64 sum : sums) total += sum;
    });
    static volatile u64 sink;
    sink = total;
    return static_cast<double>(kWords * sizeof(u64)) / time;
}

// Modular products added per second by the loop that sums diagonals, all operands in the first-level cache.
double multiply_adds(const Context& context) {
    constexpr std::size_t kTerms = 32;
    const Modulus& m = context.modulus(0);
    const std::size_t n = 2 * kChunkWords;
    Buffer packed(kTerms * kPackedWords), diagonals(kTerms * kChunkWords), out(2 * n);
    Buffer a(n);
    std::fill(a.data(), a.data() + n, 12345);
    const RotationTerms rotation{nullptr, 0, nullptr, 0, nullptr, a.data(), a.data(), 3};
    for (std::size_t t = 0; t < kTerms; ++t)
        context.kernels().pack_rotation(m, packed.data() + t * kPackedWords, kTerms * kPackedWords, rotation,
                                        {0, 1, n});
    std::fill(diagonals.data(), diagonals.data() + diagonals.size(), 54321);
    std::vector<std::uint32_t> rotations(kTerms);
    std::iota(rotations.begin(), rotations.end(), 0u);
    const DiagonalGroup group{out.data(), out.data() + n, rotations.data(), kTerms};
    constexpr int kRepeats = 200;
    const double time = fastest(200, [&] {
        for (int i = 0; i < kRepeats; ++i)
            context.kernels().diagonal_sums(m, &group, 1, packed.data(), kTerms * kPackedWords, diagonals.data(),
                                            kTerms * kChunkWords, true, {0, 1, n});
    });
    return kRepeats * static_cast<double>(kTerms * kPackedWords) / time;
}

int argument(int argc, char** argv, int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; }

}  // namespace

int main(int argc, char** argv) {
    const int log_n = argument(argc, argv, 1, 14);
    const int limbs = argument(argc, argv, 2, 6);
    const int special = argument(argc, argv, 3, 2);
    const int digits = argument(argc, argv, 4, 3);
    const std::vector<int> bits(static_cast<std::size_t>(limbs + special), 49);
    const ContextPtr context = test::make_context(log_n, bits, static_cast<std::size_t>(special), digits,
                                                  std::make_shared<test::TestHost>(), RingKind::kConjugateInvariant);
    const int top = limbs - 1;
    constexpr int kSteps = 8;
    std::map<long long, int> steps;
    for (int i = 1; i < kSteps; ++i) steps[i] = steps[i * kSteps] = top;
    const SecretKey secret = SecretKey::generate(context);
    const auto keys = std::make_shared<const EvaluationKeys>(secret.evaluation_keys(steps, top));
    Evaluator evaluator(context, keys, 1);
    const std::vector<double> values(context->slots(), 0.5);
    const Ciphertext item = secret.encrypt(encode(context, values, 0x1p40, top));
    const Ciphertext* items[] = {&item};
    ThreadPool pool(1);
    const auto transform = [&](int babies, int giants) {
        std::vector<DiagonalEntry> entries;
        for (int g = 0; g < giants; ++g)
            for (int b = 0; b < babies; ++b) entries.push_back({0, g * kSteps, 0, b, values});
        const Diagonals diagonals = Diagonals::encode(context, top, 0x1p20, 1, 1, entries, pool);
        return fastest(15, [&] { evaluator.linear_transform(items, diagonals, 1); });
    };
    Buffer x(context->n());
    std::fill(x.data(), x.data() + x.size(), 12345);
    const double forward = fastest(200, [&] { context->kernels().forward(context->ntt(0), x.data()); });
    const double inverse = fastest(200, [&] { context->kernels().inverse(context->ntt(0), x.data(), 1); });
    const double fixed = transform(1, 1), babies = transform(kSteps, 1), giants = transform(1, kSteps);
    const double all = transform(kSteps, kSteps);
    constexpr double kOthers = kSteps - 1;
    const double diagonal = (all - babies - giants + fixed) / (kOthers * kOthers);

    const auto n = static_cast<double>(context->n());
    const double slots = limbs + special;
    const double key_bytes = 2.0 * context->digits_at(top) * slots * n * 8;
    const double butterflies = n / 2 * log_n;
    std::printf("path %s, N = %.0f (conjugate-invariant), %d + %d primes, %d digits\n", context->kernels().name, n, limbs,
                special, digits);
    std::printf("memory streaming            %8.2f GB/s\n", streaming() * 1e-9);
    std::printf("modular multiply-adds       %8.2f 10^9/s\n", multiply_adds(*context) * 1e-9);
    std::printf("forward transform           %8.1f us, %.3f ns per butterfly\n", forward * 1e6,
                forward * 1e9 / butterflies);
    std::printf("inverse transform           %8.1f us, %.3f ns per butterfly\n", inverse * 1e6,
                inverse * 1e9 / butterflies);
    std::printf("diagonal                    %8.3f ms, %.2f MB streamed, %.2f 10^6 multiply-adds\n", diagonal * 1e3,
                slots * n * 8e-6, 2 * slots * n * 1e-6);
    std::printf("baby step (with its ModUp)  %8.3f ms, %.2f MB of key\n",
                ((babies - fixed) / kOthers - diagonal) * 1e3, key_bytes * 1e-6);
    std::printf("giant step                  %8.3f ms, %.2f MB of key, %.0f transforms\n",
                ((giants - fixed) / kOthers - diagonal) * 1e3, key_bytes * 1e-6,
                special + limbs + limbs + context->digits_at(top) * slots - limbs);
    return 0;
}
