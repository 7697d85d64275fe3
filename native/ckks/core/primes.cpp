#include "primes.hpp"

#include <algorithm>
#include <array>

#include "checks.hpp"

namespace kakuri::ckks {

namespace {

// Deterministic Miller-Rabin: these bases decide every n < 3.3e24 (Sorenson and Webster, 2015).
constexpr std::array<u64, 13> kWitnesses = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41};

u64 multiply_mod(u64 a, u64 b, u64 n) { return static_cast<u64>(static_cast<u128>(a) * b % n); }

u64 power_mod(u64 base, u64 exponent, u64 n) {
    u64 result = 1;
    for (; exponent != 0; exponent >>= 1, base = multiply_mod(base, base, n))
        if (exponent & 1) result = multiply_mod(result, base, n);
    return result;
}

// A prime below its power of two by at most this part is preferred to a nearer one above, which takes a bit more per
// residue and makes two words of a uniform stream out of one (uniform.hpp).
constexpr u64 kJustBelow = 1024;

bool witnesses_compositeness(u64 witness, u64 n) {
    const int twos = std::countr_zero(n - 1);
    u64 x = power_mod(witness, (n - 1) >> twos, n);
    if (x == 1 || x == n - 1) return false;
    for (int i = 1; i < twos; ++i) {
        x = multiply_mod(x, x, n);
        if (x == n - 1) return false;
    }
    return true;
}

}  // namespace

bool is_prime(u64 candidate) {
    if (candidate < 2) return false;
    for (u64 p : kWitnesses)
        if (candidate % p == 0) return candidate == p;
    return std::none_of(kWitnesses.begin(), kWitnesses.end(),
                        [&](u64 w) { return witnesses_compositeness(w, candidate); });
}

std::vector<u64> ntt_primes(Ring ring, std::span<const int> bits) {
    check_log_n(ring.log_n);
    const u64 step = ring.order();
    const u64 limit = u64{1} << kMaxModulusBits;
    std::vector<u64> primes;
    for (std::size_t i = 0; i < bits.size(); ++i) {
        const std::string where = "bits[" + std::to_string(i) + "]";
        if (bits[i] < 2 || bits[i] > kMaxModulusBits)
            throw Error({"KK-N02", "prime size is out of range", where, std::to_string(bits[i]), "2 to 50", ""});
        const u64 target = u64{1} << bits[i];
        const auto usable = [&](u64 p) {
            return is_prime(p) && std::find(primes.begin(), primes.end(), p) == primes.end();
        };
        // Candidates 1 + k step: those just below the target first, then both sides, nearest first; a prime more than a
        // factor 2 away no longer has the size that was asked for.
        const u64 lowest = std::max(target / 2, u64{2});
        const u64 highest = std::min(2 * target, limit - 1);
        u64 below = target / step * step + 1;
        if (below > target) below -= std::min(below, step);
        u64 above = target / step * step + 1;
        if (above <= target) above += step;
        u64 found = 0;
        while (found == 0 && (below >= lowest || above <= highest)) {
            const bool take_below = below >= lowest && (target - below <= target / kJustBelow || above > highest ||
                                                        target - below <= above - target);
            const u64 candidate = take_below ? below : above;
            if (take_below)
                below -= std::min(below, step);
            else
                above += step;
            if (usable(candidate)) found = candidate;
        }
        if (found == 0)
            throw Error({"KK-N02", "no unused prime that is 1 mod " + std::to_string(step) + " lies near 2^bits", where, std::to_string(bits[i]),
                         "", "ask for a larger prime or a smaller ring"});
        primes.push_back(found);
    }
    return primes;
}

u64 smallest_primitive_root(const Modulus& modulus, int log_order) {
    const u64 order = u64{1} << log_order;
    u64 root = 0;
    for (u64 x = 2; root == 0; ++x) {
        const u64 candidate = modulus.power(x, (modulus.q - 1) / order);
        if (modulus.power(candidate, order / 2) == modulus.q - 1) root = candidate;
    }
    const u64 square = modulus.multiply(root, root);
    u64 smallest = root;
    for (u64 i = 0; i < order / 2; ++i, root = modulus.multiply(root, square)) smallest = std::min(smallest, root);
    return smallest;
}

}  // namespace kakuri::ckks
