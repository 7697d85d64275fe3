// Purpose: time the kernel's operations on every available path, interleaved, so that a slow moment of the machine
//   hits all.
// Usage: ckks_bench [log_n [limbs [special [digits [runs]]]]]. Prints medians in microseconds of the calling thread's
//   CPU time, and beside them the fastest run.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "../tests/test_host.hpp"
#include "evaluator.hpp"
#include "secret.hpp"

using namespace kakuri::ckks;

namespace {

double thread_microseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

struct Case {
    std::string name;
    std::function<void()> body;
};

int argument(int argc, char** argv, int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; }

}  // namespace

int main(int argc, char** argv) {
    const int log_n = argument(argc, argv, 1, 14);
    const int limbs = argument(argc, argv, 2, 4);
    const int special = argument(argc, argv, 3, 1);
    const int digits = argument(argc, argv, 4, limbs);
    const int runs = argument(argc, argv, 5, 41);

    const auto host = std::make_shared<test::TestHost>();
    std::vector<int> bits(static_cast<std::size_t>(limbs + special), 45);
    const ContextPtr context = test::make_context(log_n, bits, static_cast<std::size_t>(special), digits, host);
    const SecretKey secret = SecretKey::generate(context);
    std::map<long long, int> steps;
    std::vector<long long> eight;
    for (int i = 1; i <= 8; ++i) {
        steps[i] = limbs - 1;
        eight.push_back(i);
    }
    steps[16] = steps[24] = limbs - 1;
    const auto keys = std::make_shared<const EvaluationKeys>(secret.evaluation_keys(steps, limbs - 1));
    Evaluator evaluator(context, keys, 1);
    const Plaintext plain = encode(context, std::vector<double>(context->slots(), 0.5), 0x1p40, limbs - 1);
    const Ciphertext a = secret.encrypt(plain);
    const Ciphertext product = evaluator.square(a);
    const std::vector<Ciphertext> items(25, a);
    std::vector<const Ciphertext*> pointers;
    for (const Ciphertext& item : items) pointers.push_back(&item);
    const std::vector<const Plaintext*> plains(items.size(), &plain);
    std::vector<double> weights(10 * items.size());
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<double>(i) - 100.5;
    // A layer's matrix: six baby steps beside the identity and three giant steps beside none.
    ThreadPool pool(1);
    const std::vector<double> ones(context->slots(), 0.5);
    std::vector<DiagonalEntry> entries;
    for (int giant : {0, 8, 16, 24})
        for (int baby = 0; baby < 7; ++baby) entries.push_back({0, giant, 0, baby, ones});
    const Diagonals matrix = Diagonals::encode(context, limbs - 1, 0x1p20, 1, 1, entries, pool);
    const Diagonals babies =
        Diagonals::encode(context, limbs - 1, 0x1p20, 1, 1, std::span(entries).subspan(0, 7), pool);
    const std::vector<const Ciphertext*> one = {&a};
    Buffer x(context->n());
    std::fill(x.data(), x.data() + x.size(), 12345);

    int step = 0;
    const std::vector<Case> cases = {
        {"forward NTT", [&] { context->kernels().forward(context->ntt(0), x.data()); }},
        {"inverse NTT", [&] { context->kernels().inverse(context->ntt(0), x.data(), 1); }},
        {"rotate", [&] { evaluator.rotate(a, 1 + step++ % 8); }},
        {"rotate hoisted, each of 8", [&] { evaluator.rotate_hoisted(a, eight); }},
        {"relinearize", [&] { evaluator.relinearize(product, 0); }},
        {"relinearize and rescale", [&] { evaluator.relinearize(product, 1); }},
        {"linear transform, 7 babies, 4 giants", [&] { evaluator.linear_transform(one, matrix, 1); }},
        {"linear transform, 7 babies", [&] { evaluator.linear_transform(one, babies, 1); }},
        {"rescale", [&] { evaluator.rescale(a); }},
        {"rescale of a product", [&] { evaluator.rescale(product); }},
        {"square", [&] { evaluator.square(a); }},
        {"multiply_plain", [&] { evaluator.multiply_plain(a, plain); }},
        {"add", [&] { evaluator.add(a, a); }},
        {"linear_combination 10x25, each term",
         [&] { evaluator.linear_combination(pointers, weights, 10, 0x1p20, nullptr); }},
        {"  the same, 40-bit weights", [&] { evaluator.linear_combination(pointers, weights, 10, 0x1p32, nullptr); }},
        {"dot_plain 25, each term", [&] { evaluator.dot_plain(pointers, plains); }},
    };
    const auto share = [](const std::string& name) {
        return name.find("of 8") != std::string::npos                      ? 8.0
               : name.find("10x25") != std::string::npos || name[0] == ' ' ? 250.0
               : name.find("dot_plain") != std::string::npos               ? 25.0
                                                                           : 1.0;
    };
    const std::vector<std::string> paths = KernelSelection::available();
    std::vector<std::vector<double>> times(cases.size() * paths.size());
    for (int run = 0; run < runs; ++run) {
        for (std::size_t c = 0; c < cases.size(); ++c) {
            for (std::size_t p = 0; p < paths.size(); ++p) {
                host->selection().select(paths[p]);
                const double start = thread_microseconds();
                cases[c].body();
                times[c * paths.size() + p].push_back((thread_microseconds() - start) / share(cases[c].name));
            }
        }
    }
    std::printf("N = %zu, %d + %d primes, %d digits, %d runs; microseconds, median (fastest)\n", context->n(), limbs,
                special, digits, runs);
    std::printf("%-38s", "");
    for (const std::string& path : paths) std::printf("%22s", path.c_str());
    std::printf("\n");
    for (std::size_t c = 0; c < cases.size(); ++c) {
        std::printf("%-38s", cases[c].name.c_str());
        for (std::size_t p = 0; p < paths.size(); ++p) {
            std::vector<double>& samples = times[c * paths.size() + p];
            std::sort(samples.begin(), samples.end());
            std::printf("%12.1f (%7.1f)", samples[samples.size() / 2], samples[0]);
        }
        std::printf("\n");
    }
    return 0;
}
