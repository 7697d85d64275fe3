// Purpose: what the kernel takes from outside: a hash, a standard stream cipher, and the choice of kernel path.
// Guarantees: the kernel contains no cipher or hash of its own. The Python modules supply SHA-256 and ChaCha20.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels.hpp"

namespace kakuri::ckks {

using Seed = std::array<std::uint8_t, 32>;
using Digest = std::array<std::uint8_t, 32>;

// Which of the independent byte streams of one seed. As ChaCha20's 16-byte initial block:
// 32-bit block counter, 64-bit stream, 32-bit domain, all little-endian.
struct StreamId {
    std::uint64_t stream;
    std::uint32_t domain;
};

class Host {
public:
    virtual ~Host() = default;
    // Of the parts one after the other.
    virtual Digest sha256(std::span<const std::span<const std::uint8_t>> parts) const = 0;
    // Fills out with bytes [64 block, 64 block + out.size()) of the stream. out.size() is a multiple of 64.
    virtual void expand(const Seed& seed, StreamId id, std::uint32_t block, std::span<std::uint8_t> out) const = 0;

    const Kernels& kernels() const { return kernels_.active(); }
    KernelSelection& selection() { return kernels_; }

private:
    KernelSelection kernels_;
};

// 32 bytes from getrandom(2). Throws KK-N14.
Seed operating_system_seed();

}  // namespace kakuri::ckks
