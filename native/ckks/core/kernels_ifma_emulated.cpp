// Purpose: the ifma path's templates on eight plain words with the documented semantics of each instruction, so that
//   the algorithm is proved bit-identical on processors without AVX-512.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, VPMADD52LUQ and VPMADD52HUQ.
#include "ifma_kernels.hpp"

namespace kakuri::ckks {

namespace {

struct PortableVector {
    u64 x[8];

    template <class F>
    static PortableVector each(F lane) {
        PortableVector out;
        for (std::size_t i = 0; i < 8; ++i) out.x[i] = lane(i);
        return out;
    }
    static constexpr u64 kMask = (u64{1} << 52) - 1;
    static u128 product(u64 a, u64 b) { return static_cast<u128>(a & kMask) * (b & kMask); }

    static PortableVector load(const u64* p) {
        return each([&](std::size_t i) { return p[i]; });
    }
    static PortableVector broadcast(u64 v) {
        return each([&](std::size_t) { return v; });
    }
    void store(u64* p) const { std::copy(x, x + 8, p); }
    static PortableVector load_unaligned(const u64* p) { return load(p); }
    void store_unaligned(u64* p) const { store(p); }
    static PortableVector reversed(const PortableVector& a) {
        return each([&](std::size_t i) { return a.x[7 - i]; });
    }
    friend PortableVector operator+(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return a.x[i] + b.x[i]; });
    }
    friend PortableVector operator-(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return a.x[i] - b.x[i]; });
    }
    static PortableVector smaller(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return std::min(a.x[i], b.x[i]); });
    }
    static PortableVector low52(const PortableVector& a) {
        return each([&](std::size_t i) { return a.x[i] & kMask; });
    }
    static PortableVector shift_right_52(const PortableVector& a) {
        return each([&](std::size_t i) { return a.x[i] >> 52; });
    }
    static PortableVector add_low(const PortableVector& sum, const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return sum.x[i] + (low_word(product(a.x[i], b.x[i])) & kMask); });
    }
    static PortableVector add_high(const PortableVector& sum, const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return sum.x[i] + low_word(product(a.x[i], b.x[i]) >> 52); });
    }
    static PortableVector multiply_low(const PortableVector& a, const PortableVector& b) {
        return add_low(broadcast(0), a, b);
    }
    static PortableVector multiply_high(const PortableVector& a, const PortableVector& b) {
        return add_high(broadcast(0), a, b);
    }
    static PortableVector gather(const u64* base, const std::uint32_t* at) {
        return each([&](std::size_t i) { return base[at[i]]; });
    }
    // VPUNPCKLQDQ, VPUNPCKHQDQ: words of one parity from a and b in turn. VSHUFI64X2 with 0x88 or 0xdd: the pairs of
    // words of one parity, those of a and then those of b.
    static PortableVector interleave_low(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return i % 2 == 0 ? a.x[i] : b.x[i - 1]; });
    }
    static PortableVector interleave_high(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return i % 2 == 0 ? a.x[i + 1] : b.x[i]; });
    }
    static PortableVector even_pairs(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return (i < 4 ? a : b).x[i % 4 / 2 * 4 + i % 2]; });
    }
    static PortableVector odd_pairs(const PortableVector& a, const PortableVector& b) {
        return each([&](std::size_t i) { return (i < 4 ? a : b).x[i % 4 / 2 * 4 + 2 + i % 2]; });
    }
};

}  // namespace

const Kernels* emulated_ifma_kernels() {
    static constexpr Kernels kTable = ifma::KernelFunctions<PortableVector>::table("ifma-emulated");
    return &kTable;
}

}  // namespace kakuri::ckks
