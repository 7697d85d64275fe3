// Purpose: every kernel path against the scalar one, bit for bit, on random and extreme residues.
// Usage: kernels_agree. Prints "PATH: CASES agree" per path; exit 1 and a line per disagreement otherwise. The ifma
//   path runs here on portable vectors ("ifma-emulated") and, where the processor has the instructions, on real ones.
#include <algorithm>
#include <cstdio>
#include <set>
#include <string>

#include "automorphism.hpp"
#include "test_host.hpp"

using namespace kakuri::ckks;

namespace {

enum class Fill { kRandom, kZero, kLargest, kMixed };

Buffer residues(std::size_t n, u64 q, Fill fill, test::Random& random) {
    Buffer out(n);
    for (std::size_t i = 0; i < n; ++i) {
        const u64 value = random.below(q);
        const u64 extreme = value % 2 == 0 ? 0 : q - 1;
        out.data()[i] = fill == Fill::kRandom    ? value
                        : fill == Fill::kZero    ? 0
                        : fill == Fill::kLargest ? q - 1
                                                 : extreme;
    }
    return out;
}

class Comparison {
public:
    Comparison(const Kernels& path, Ring ring, u64 prime, Fill fill, u64 seed)
        : path_(path), scalar_(*scalar_kernels()), tables_(ring, prime), n_(tables_.n()), fill_(fill), random_(seed) {}

    long run() {
        transforms();
        if (tables_.log_n() > 12) return cases_;
        pointwise();
        sums();
        linear();
        return cases_;
    }
    bool failed() const { return failed_; }

private:
    const Modulus& m() const { return tables_.modulus(); }
    Buffer draw() { return residues(n_, m().q, fill_, random_); }

    // All chunks, three at a time.
    std::vector<ChunkRange> pieces() const {
        std::vector<ChunkRange> out;
        const std::size_t chunks = ChunkRange::whole(n_).count;
        for (std::size_t first = 0; first < chunks; first += 3)
            out.push_back({first, std::min<std::size_t>(3, chunks - first), n_});
        return out;
    }

    // body(kernels, out) writes `outputs` arrays of n words.
    template <class Body>
    void compare(const char* what, std::size_t outputs, Body body) {
        Buffer expected(outputs * n_);
        Buffer got(outputs * n_);
        body(scalar_, expected.data());
        body(path_, got.data());
        ++cases_;
        if (std::memcmp(expected.data(), got.data(), outputs * n_ * sizeof(u64)) == 0) return;
        failed_ = true;
        std::printf("%s differs in %s: log_n %d, q %llu\n", path_.name, what, tables_.log_n(),
                    static_cast<unsigned long long>(m().q));
    }

    void transforms() {
        const Buffer x = draw();
        const u64 factor = 1 + random_.below(m().q - 1);
        compare("forward", 1, [&](const Kernels& k, u64* r) {
            std::memcpy(r, x.data(), n_ * sizeof(u64));
            k.forward(tables_, r);
        });
        compare("inverse", 1, [&](const Kernels& k, u64* r) {
            std::memcpy(r, x.data(), n_ * sizeof(u64));
            k.inverse(tables_, r, factor);
        });
    }

    void pointwise() {
        const Buffer a = draw(), b = draw(), c = draw(), d = draw();
        const u64 s = m().q - 1;
        const Factor w(random_.below(m().q), m().q);
        compare("add", 1, [&](const Kernels& k, u64* r) { k.add(m(), r, a.data(), b.data(), n_); });
        compare("subtract", 1, [&](const Kernels& k, u64* r) { k.subtract(m(), r, a.data(), b.data(), n_); });
        compare("fold", 1, [&](const Kernels& k, u64* r) {
            std::memcpy(r, a.data(), n_ * sizeof(u64));
            k.fold(m(), r, w, n_);
        });
        compare("negate", 1, [&](const Kernels& k, u64* r) { k.negate(m(), r, a.data(), n_); });
        compare("add_scalar", 1, [&](const Kernels& k, u64* r) { k.add_scalar(m(), r, a.data(), s, n_); });
        compare("multiply", 1, [&](const Kernels& k, u64* r) { k.multiply(m(), r, a.data(), b.data(), n_); });
        compare("multiply_scalar", 1, [&](const Kernels& k, u64* r) { k.multiply_scalar(m(), r, a.data(), w, n_); });
        compare("subtract_multiply", 1,
                [&](const Kernels& k, u64* r) { k.subtract_multiply(m(), r, a.data(), b.data(), w, n_); });
        compare("tensor", 3, [&](const Kernels& k, u64* r) {
            k.tensor(m(), r, r + n_, r + 2 * n_, a.data(), b.data(), c.data(), d.data(), n_);
        });
        for (int step : {1, 3}) {
            const auto permutation = automorphism_permutation(galois_element(step, tables_.ring()), tables_.ring());
            compare("permute", 1, [&](const Kernels& k, u64* r) { k.permute(r, a.data(), permutation.data(), n_); });
        }
    }

    void sums() {
        for (std::size_t count : {1u, 2u, 3u, 9u, 40u}) {
            if (count > 3 && tables_.log_n() > 8) continue;
            std::vector<Buffer> x, y, z;
            std::vector<u64> primes;
            for (std::size_t i = 0; i < count; ++i) {
                primes.push_back(i % 2 == 0 ? m().q : (u64{1} << 50) - 27);  // shifts of a larger prime too
                x.push_back(residues(n_, primes.back(), fill_, random_));
                y.push_back(draw());
                z.push_back(draw());
            }
            u64 constant = 0;
            std::vector<ConvertTerm> convert;
            std::vector<ProductTerm> products;
            for (std::size_t i = 0; i < count; ++i) {
                const u64 weight = count == 1 ? 1 : random_.below(m().q);
                convert.push_back({x[i].data(), primes[i], Factor(weight, m().q)});
                constant = m().subtract(constant, m().multiply(m().reduce((primes[i] - 1) / 2), weight));
                products.push_back({y[i].data(), z[i].data()});
            }
            compare("convert", 1,
                    [&](const Kernels& k, u64* r) { k.convert(m(), r, convert.data(), count, constant, n_); });
            rotations(y);
            compare("dot", 1, [&](const Kernels& k, u64* r) { k.dot(m(), r, products.data(), count, n_); });
            for (int bits : {3, 24, 31, 49}) weighted(y, bits);
        }
    }

    // Sums over these digits, of a key with one digit more.
    void rotations(const std::vector<Buffer>& digits) {
        const auto permutation = automorphism_permutation(galois_element(5, tables_.ring()), tables_.ring());
        const std::size_t stride = (digits.size() + 1) * kKeyWords;
        const Buffer key = residues(n_ / (2 * kChunkWords) * stride, m().q, fill_, random_);
        std::vector<const u64*> rows;
        for (const Buffer& digit : digits) rows.push_back(digit.data());
        for (const std::uint32_t* moves : {static_cast<const std::uint32_t*>(nullptr), permutation.data()}) {
            const RotationTerms rotation{rows.data(), rows.size(), key.data(), stride, moves, nullptr, nullptr, 0};
            compare(moves == nullptr ? "rotate by nothing" : "rotate", 2, [&](const Kernels& k, u64* r) {
                for (const ChunkRange& range : pieces()) k.rotate(m(), r, r + n_, rotation, range);
            });
        }
    }

    void weighted(const std::vector<Buffer>& inputs, int bits) {
        std::vector<const u64*> in;
        for (const Buffer& x : inputs) in.push_back(x.data());
        for (std::size_t outputs : {1u, 5u}) {
            std::vector<i64> weights;
            for (std::size_t i = 0; i < outputs * in.size(); ++i) {
                const i64 size =
                    static_cast<i64>(fill_ == Fill::kRandom ? random_.below(u64{1} << bits) : (u64{1} << bits) - 1);
                weights.push_back(i % 3 == 0 ? -size : size);
            }
            compare("weighted_sum", outputs, [&](const Kernels& k, u64* r) {
                std::vector<u64*> out;
                for (std::size_t o = 0; o < outputs; ++o) out.push_back(r + o * n_);
                k.weighted_sum(m(), out.data(), outputs, in.data(), weights.data(), in.size(), n_);
            });
        }
    }

    // Rotations with and without permutation and addends, packed and summed against diagonals; one group is longer than
    // what a path adds up without reducing.
    void linear() {
        const auto permutation = automorphism_permutation(galois_element(5, tables_.ring()), tables_.ring());
        const Buffer a0 = draw(), a1 = draw(), r = draw();
        std::vector<Buffer> x;
        std::vector<const u64*> digits;
        for (std::size_t d = 0; d < 9; ++d) {
            x.push_back(draw());
            digits.push_back(x[d].data());
        }
        const std::size_t key_stride = 9 * kKeyWords;
        const Buffer key = residues(n_ / (2 * kChunkWords) * key_stride, m().q, fill_, random_);
        const u64 weight = m().q - 2;
        const std::vector<RotationTerms> rotations = {
            {digits.data(), 9, key.data(), key_stride, permutation.data(), a0.data(), nullptr, weight},
            {digits.data(), 3, key.data(), key_stride, permutation.data(), nullptr, nullptr, 0},
            {digits.data(), 2, key.data(), key_stride, nullptr, a0.data(), a1.data(), 1},
            {nullptr, 0, nullptr, 0, nullptr, a0.data(), a1.data(), weight},
            {nullptr, 0, nullptr, 0, nullptr, nullptr, nullptr, 0},
        };
        for (const RotationTerms& rotation : rotations) {
            compare("add_rotation", 2, [&](const Kernels& k, u64* out) {
                std::memcpy(out, r.data(), n_ * sizeof(u64));
                std::memcpy(out + n_, r.data(), n_ * sizeof(u64));
                for (const ChunkRange& range : pieces()) k.add_rotation(m(), out, out + n_, rotation, range);
            });
        }
        const std::size_t chunks = n_ / (2 * kChunkWords);
        const std::size_t long_terms = tables_.log_n() == 4 ? 2100 : 3;
        std::vector<std::uint32_t> chosen;
        for (std::size_t t = 0; t < long_terms + 6; ++t) chosen.push_back(static_cast<std::uint32_t>(t * t % 5));
        const Buffer diagonals = residues(2 * chosen.size() * chunks * kChunkWords, m().q, fill_, random_);
        for (const bool symmetric : {true, false}) compare("diagonal_sums", 4, [&](const Kernels& k, u64* out) {
            const std::size_t diagonal_stride = chosen.size() * kChunkWords * (symmetric ? 1 : 2);
            const DiagonalGroup groups[] = {{out, out + n_, chosen.data(), 6},
                                            {out + 2 * n_, out + 3 * n_, chosen.data() + 6, long_terms}};
            const std::size_t stride = rotations.size() * kPackedWords;
            Buffer packed(stride * chunks);
            for (const ChunkRange& range : pieces()) {
                for (std::size_t i = 0; i < rotations.size(); ++i)
                    k.pack_rotation(m(), packed.data() + i * kPackedWords, stride, rotations[i], range);
                k.diagonal_sums(m(), groups, 2, packed.data(), stride,
                                diagonals.data() + range.first * diagonal_stride, diagonal_stride, symmetric, range);
            }
        });
    }

    const Kernels& path_;
    const Kernels& scalar_;
    NttTables tables_;
    std::size_t n_;
    Fill fill_;
    test::Random random_;
    long cases_ = 0;
    bool failed_ = false;
};

}  // namespace

int main() {
    bool failed = false;
    for (const Kernels* path : {avx2_kernels(), avx512_kernels(), ifma_kernels(), emulated_ifma_kernels()}) {
        if (path == nullptr) continue;
        long cases = 0;
        for (int log_n = 4; log_n <= 16; ++log_n) {
            for (int bits : {20, 25, 30, 45, 49, 50}) {
                if (bits <= log_n + 3) continue;
                const RingKind kind = bits % 2 != 0 ? RingKind::kStandard : RingKind::kConjugateInvariant;
                const u64 prime = ntt_primes({log_n, kind}, std::vector<int>{bits})[0];
                for (Fill fill : {Fill::kRandom, Fill::kZero, Fill::kLargest, Fill::kMixed}) {
                    if (log_n > 10 && (fill == Fill::kZero || fill == Fill::kLargest || bits < 49))
                        continue;  // the hard cases only
                    Comparison comparison(*path, {log_n, kind}, prime, fill, static_cast<u64>(100 * log_n + bits));
                    cases += comparison.run();
                    failed = failed || comparison.failed();
                }
            }
        }
        std::printf("%s: %ld agree\n", path->name, cases);
    }
    return failed ? 1 : 0;
}
