// Purpose: a deterministic stand-in for the stream cipher and the hash, for test programs that run without Python.
// Does not guarantee: any security whatsoever.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include "parameters.hpp"
#include "primes.hpp"
#include "uniform.hpp"

namespace kakuri::ckks::test {

inline u64 mix(u64 x) {  // SplitMix64 (Steele, Lea and Flood, 2014)
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// A seeded source of test data.
class Random {
public:
    explicit Random(u64 seed) : state_(mix(seed)) {}
    u64 next() { return mix(state_++); }
    u64 below(u64 limit) { return next() % limit; }

private:
    u64 state_;
};

class TestHost : public Host {
public:
    Digest sha256(std::span<const std::span<const std::uint8_t>> parts) const override {
        Digest out;
        for (std::size_t i = 0; i < out.size(); ++i) {
            u64 h = i;
            for (const auto part : parts)
                for (std::uint8_t byte : part) h = mix(h ^ byte);
            out[i] = static_cast<std::uint8_t>(h);
        }
        return out;
    }
    void expand(const Seed& seed, StreamId id, std::uint32_t block, std::span<std::uint8_t> out) const override {
        u64 key[4];
        std::memcpy(key, seed.data(), sizeof key);
        const u64 base = mix(key[0] ^ mix(key[1] ^ mix(key[2] ^ mix(key[3] ^ mix(id.stream ^ mix(id.domain))))));
        for (std::size_t i = 0; i < out.size(); i += 8) {
            const u64 word = mix(base ^ mix(u64{block} * 8 + i / 8));
            std::memcpy(out.data() + i, &word, 8);
        }
    }
};

inline ContextPtr make_context(int log_n, std::vector<int> bits, std::size_t special, int digits,
                               std::shared_ptr<Host> host = std::make_shared<TestHost>(),
                               RingKind ring = RingKind::kStandard) {
    const std::vector<u64> primes = ntt_primes({log_n, ring}, bits);
    const auto split = primes.end() - static_cast<std::ptrdiff_t>(special);
    return std::make_shared<const Context>(
        ParameterLiteral{log_n, {primes.begin(), split}, {split, primes.end()}, digits, ring}, true, std::move(host));
}

}  // namespace kakuri::ckks::test
