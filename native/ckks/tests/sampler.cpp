// Purpose: shows what the samplers make of given words. Reads "gaussian" or "ternary" and then words in decimal from
//   standard input; prints one signed result per line.
#include <cstdio>
#include <iostream>

#include "secret.hpp"

using namespace kakuri::ckks;

int main() {
    std::string kind;
    std::cin >> kind;
    std::vector<u64> words;
    for (u64 word = 0; std::cin >> word;) words.push_back(word);
    SecretArray<u64> samples(words.size());
    std::copy(words.begin(), words.end(), samples.data());
    (kind == "gaussian" ? gaussian_from_words : ternary_from_words)(samples);
    for (std::size_t i = 0; i < samples.size(); ++i) std::printf("%lld\n", static_cast<long long>(samples[i]));
    return 0;
}
