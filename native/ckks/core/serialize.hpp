// Purpose: byte formats of parameters, ciphertexts, public keys, evaluation keys, and the bounded reader they share.
// Guarantees: a parser checks magic, version, parameters and every length against the bytes that are really there before it
//   allocates; every residue is below its prime; what it accepts, the writer gives back byte for byte.
// Does not guarantee: authenticity, which is the transport's job.
// Format, all little-endian: magic (4 bytes), version u16 = 1, flags u16, then
//   KKPR parameters:  log_n u32, digits u32, moduli u32, special moduli u32, the primes as u64; flag 1:
//                     the conjugate-invariant ring
//   others:           parameter digest (32 bytes), then
//   KKCT ciphertext:  level u32, size u32, scale f64, payload length u64, polynomials; flag 1: seed in place of the second
//   KKPK public key:  payload length u64, seed, polynomial b
//   KKEK evaluation keys: rotations u32, 0 u32, payload length u64, then keys, the relinearisation key first when flag 1 is
//                     set, rotations by ascending step; a key is step u32 (0: relinearisation), level u32, seed, and b for
//                     every prime (q_0 ... q_level, then special) and every digit
//   KKSK secret key:  payload length u64, 2 bits per coefficient (0: 0, 1: 1, 2: -1)
//   KKDG diagonals:   level u32, inputs u32, outputs u32, terms u32, scale f64, payload length u64, then per term output u32,
//                     giant step u32, input u32, baby step u32, ascending; zero bytes up to a multiple of 4096; residues
//                     as u64 in the layout of diagonals.hpp; SHA-256 of all bytes before it
//   Elsewhere residues stand in bit_width(prime) bits each, lowest bit first, without gaps.
#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "ciphertext.hpp"
#include "error.hpp"

namespace kakuri::ckks {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

Bytes parameter_bytes(const ParameterLiteral& literal);
ParameterLiteral parse_parameters(ByteSpan data);

std::size_t ciphertext_length(const Ciphertext& ciphertext);
Bytes ciphertext_bytes(const Ciphertext& ciphertext);
Ciphertext parse_ciphertext(const ContextPtr& context, ByteSpan data);

Bytes public_key_bytes(const PublicKey& key);
PublicKey parse_public_key(const ContextPtr& context, ByteSpan data);

std::size_t evaluation_keys_length(const EvaluationKeys& keys);
std::size_t evaluation_keys_memory(const EvaluationKeys& keys);
Bytes evaluation_keys_bytes(const EvaluationKeys& keys);
EvaluationKeys parse_evaluation_keys(const ContextPtr& context, ByteSpan data);

inline constexpr std::uint16_t kFormatVersion = 1;
inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kBoundHeaderBytes = kHeaderBytes + sizeof(Digest);

class Writer {
public:
    explicit Writer(std::size_t length) { out_.reserve(length); }
    template <class T>
    void put(T value) {
        static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
        bytes({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
    }
    void bytes(ByteSpan data) { out_.insert(out_.end(), data.begin(), data.end()); }
    void header(const char* magic, std::uint16_t flags);
    void residues(const u64* values, std::size_t n, int bits);
    Bytes take() { return std::move(out_); }

private:
    Bytes out_;
};

class Reader {
public:
    explicit Reader(ByteSpan data) : rest_(data) {}
    std::size_t remaining() const { return rest_.size(); }
    ByteSpan bytes(std::size_t count, const char* where);
    template <class T>
    T get(const char* where) {
        T value;
        std::memcpy(&value, bytes(sizeof value, where).data(), sizeof value);
        return value;
    }
    // Checks magic, version and that only allowed flags are set; returns the flags.
    std::uint16_t header(const char* magic, std::uint16_t allowed_flags);
    void digest(const Context& context);
    // The declared payload length, equal to what is left and to what the other fields call for.
    void payload(u64 expected);
    Seed seed();
    void residues(u64* values, std::size_t n, const Modulus& modulus);

private:
    ByteSpan rest_;
};

inline std::size_t packed_bytes(std::size_t n, int bits) { return n / 8 * static_cast<std::size_t>(bits); }

}  // namespace kakuri::ckks
