// Purpose: SHA-256 from hashlib and ChaCha20 (RFC 8439 block function) from the `cryptography` package, for the kernel.
// Guarantees: takes the GIL for each request; a request is a whole polynomial, so that is rare.
#pragma once

#include "host.hpp"

namespace kakuri::ckks::python {

class PythonHost : public Host {
public:
    Digest sha256(std::span<const std::span<const std::uint8_t>> parts) const override;
    void expand(const Seed& seed, StreamId id, std::uint32_t block, std::span<std::uint8_t> out) const override;
};

}  // namespace kakuri::ckks::python
